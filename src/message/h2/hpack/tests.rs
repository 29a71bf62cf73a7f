use super::*;

#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl FieldSink for Seen {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.push((text(name), text(value)));
    }
}

#[test]
fn a_block_of_the_appendix_is_read() {
    // RFC 7541 C.4.1.
    let block = [
        0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
    ];
    let mut seen = Seen::default();
    Decoder::new(4_096).decode(&block, &mut seen, 10_000).unwrap();
    assert_eq!(seen.0.last().unwrap(), &(":authority".to_owned(), "www.example.com".to_owned()));
}
