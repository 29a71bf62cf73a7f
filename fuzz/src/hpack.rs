//! Header blocks of HTTP/2: whatever a peer sends, the tables of both ends stay in step.

use strop::message::h2::hpack::{Decoder, Encoder, Field, FieldSink, HpackError};

/// A little more than what most heads are, so that some are too large.
const MOST: usize = 600;

#[derive(Default)]
struct Fields(Vec<(Vec<u8>, Vec<u8>, bool)>);

impl FieldSink for Fields {
    fn field(&mut self, field: Field<'_>) {
        self.0.push((field.name.to_vec(), field.value.to_vec(), field.sensitive));
    }
}

fn decode(decoder: &mut Decoder, block: &[u8], most: usize) -> (Fields, Result<(), HpackError>) {
    let mut fields = Fields::default();
    let result = decoder.decode(block, &mut fields, most);
    (fields, result)
}

/// The connection of a peer that sends these blocks; what it says is sent on over a connection of ours.
pub fn blocks(data: &[u8]) {
    let [seed, rest @ ..] = data else { return };
    let mut rest = rest;
    let limit = u32::from(*seed) * 16;
    let (mut whole, mut bounded) = (Decoder::new(limit), Decoder::new(limit));
    let (mut encoder, mut behind) = (Encoder::default(), Decoder::new(4096));
    let mut random = u32::from(*seed);
    while !rest.is_empty() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (block, after) = rest.split_at((1 + (random >> 16) as usize % 64).min(rest.len()));
        rest = after;
        let (fields, result) = decode(&mut whole, block, usize::MAX);
        let (some, of_bounded) = decode(&mut bounded, block, MOST);
        let size: usize = some.0.iter().map(|(name, value, _)| name.len() + value.len() + 32).sum();
        assert!(size <= MOST, "{size} bytes were handed out");
        assert!(fields.0.starts_with(&some.0), "what is handed out is the beginning");
        match (result, of_bounded) {
            (Ok(()), Ok(())) => assert_eq!(fields.0.len(), some.0.len()),
            // Many times what is taken: the connection is over.
            (Ok(()), Err(HpackError::Bomb)) => return,
            (Ok(()), Err(error)) => assert_eq!(error, HpackError::TooLarge),
            (Err(_), Err(HpackError::Bomb)) => return,
            (Err(error), of_bounded) => {
                return assert_eq!(of_bounded, Err(error), "the same error, however much is taken");
            }
        }
        if random % 7 == 0 {
            encoder.set_peer_limit(random >> 19);
            behind.set_limit(random >> 19);
        }
        goes_on(&mut encoder, &mut behind, &fields);
    }
}

/// What is encoded is decoded, names in lower case, and no secret is said to be none.
fn goes_on(encoder: &mut Encoder, decoder: &mut Decoder, fields: &Fields) {
    let mut out = Vec::new();
    encoder.begin_block(&mut out);
    for (name, value, sensitive) in &fields.0 {
        match sensitive {
            true => encoder.sensitive(name, value, &mut out),
            false => encoder.field(name, value, &mut out),
        }
    }
    let (again, result) = decode(decoder, &out, usize::MAX);
    assert_eq!(result, Ok(()));
    assert_eq!(again.0.len(), fields.0.len());
    for ((name, value, sensitive), (name_again, value_again, sensitive_again)) in
        fields.0.iter().zip(&again.0)
    {
        assert_eq!((&name.to_ascii_lowercase(), value), (name_again, value_again));
        assert!(*sensitive_again || !sensitive);
    }
}
