use std::collections::VecDeque;

use proptest::prelude::*;

use super::{Name, STATIC, Table};

/// What is done to a table.
#[derive(Clone, Debug)]
enum Step {
    Spelled(Vec<u8>, Vec<u8>),
    At(usize, Vec<u8>),
    Resize(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        20 => (bytes(), bytes()).prop_map(|(name, value)| Step::Spelled(name, value)),
        20 => (1_usize..100, bytes()).prop_map(|(index, value)| Step::At(index, value)),
        1 => (1_usize..100, 0_usize..1_000).prop_map(|(index, length)| Step::At(index, vec![b'x'; length])),
        1 => (0_usize..1_000).prop_map(Step::Resize),
    ]
}

/// The plain reading of RFC 7541 section 4: its entries, the newest first.
struct Plain(VecDeque<(Vec<u8>, Vec<u8>)>);

impl Plain {
    fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    fn evict(&mut self, max: usize) {
        while self.size() > max {
            self.0.pop_back();
        }
    }

    fn name(&self, index: usize) -> Option<Vec<u8>> {
        match index.checked_sub(STATIC.len() + 1) {
            None => Some(STATIC[index - 1].0.to_vec()),
            Some(nth) => self.0.get(nth).map(|(name, _)| name.clone()),
        }
    }
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut table = Table::new(100);
    table.add(Name::Spelled(b"a"), b"b");
    table.add(Name::Spelled(b"a"), &[b'x'; 67]);
    assert_eq!(table.newest(0).map(|entry| entry.value.len()), Some(67), "100 bytes are not too many");
    table.add(Name::Spelled(b"a"), &[b'x'; 68]);
    assert_eq!((table.newest(0), table.size), (None, 0));
}

proptest! {
    #[test]
    fn a_table_is_its_newest_entries(steps in prop::collection::vec(step(), 1..300), max in 0_usize..1_000) {
        let (mut table, mut plain) = (Table::new(max), Plain(VecDeque::new()));
        let mut most = max;
        for step in steps {
            let (name, value) = match step {
                Step::Resize(max) => {
                    most = most.max(max);
                    table.resize(max);
                    plain.evict(max);
                    continue;
                }
                Step::Spelled(name, value) => {
                    table.add(Name::Spelled(&name), &value);
                    (name, value)
                }
                Step::At(index, value) => {
                    let Some(name) = plain.name(index) else { continue };
                    table.add(Name::At(index), &value);
                    (name, value)
                }
            };
            plain.0.push_front((name, value));
            plain.evict(table.max());
            for (nth, (name, value)) in plain.0.iter().enumerate() {
                let entry = table.newest(nth).expect("it is there");
                prop_assert_eq!((entry.name, entry.value), (&name[..], &value[..]));
            }
            prop_assert_eq!(table.newest(plain.0.len()), None);
            prop_assert_eq!(table.size, plain.size());
            prop_assert!(table.bytes.capacity() <= 2 * most + 256, "{} bytes", table.bytes.capacity());
        }
    }
}
