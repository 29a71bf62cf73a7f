use proptest::prelude::*;

use super::super::Decoder;
use super::super::tests::{bytes, decode_all};
use super::Encoder;

fn block(encoder: &mut Encoder, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin_block(&mut out);
    fields.iter().for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), &mut out));
    out
}

#[test]
fn what_repeats_is_added_when_it_comes_again() {
    let mut encoder = Encoder::default();
    let fields = [("Content-Type", "text/html"), ("x-own", "1"), (":path", "/a/b")];
    let lengths: Vec<_> = (0..4).map(|_| block(&mut encoder, &fields).len()).collect();
    assert_eq!(encoder.table.added(), 3);
    assert_eq!(lengths[2..], [3, 3]);
    assert!(lengths[0] >= lengths[1], "{lengths:?}");
    // The name alone repeats: one entry of it is enough.
    for value in 0..100_u32 {
        block(&mut encoder, &[("x-request-id", &value.wrapping_mul(0x9e37_79b9).to_string())]);
    }
    assert_eq!(encoder.table.added(), 4);
}

#[test]
fn many_that_repeat_do_not_drive_each_other_out() {
    let names: Vec<_> = (0..40).map(|n| format!("x-name-{n}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), "value")).collect();
    let mut encoder = Encoder::default();
    let lengths: Vec<_> = (0..10).map(|_| block(&mut encoder, &fields).len()).collect();
    assert_eq!((lengths[9], encoder.table.added()), (40, 40), "{lengths:?}");
}

#[test]
fn what_would_take_half_the_table_stays_out() {
    let mut encoder = Encoder::default();
    let values = ["x".repeat(2_048 - 32 - 5), "x".repeat(2_048 - 32 - 5 + 1)];
    for (value, added) in values.iter().zip([1, 1]) {
        (0..3).for_each(|_| drop(block(&mut encoder, &[("x-own", value)])));
        assert_eq!(encoder.table.added(), added, "{} bytes", value.len());
    }
}

#[test]
fn secrets_and_what_never_repeats_stay_out_of_tables() {
    let mut encoder = Encoder::default();
    let secrets = [
        ("Authorization", "Basic YTpi"),
        ("proxy-authorization", ""),
        ("set-cookie", "a=b"),
        ("cookie", "s=1234567890"),
    ];
    let others =
        [("content-length", "5"), ("etag", "\"x\""), ("last-modified", "never"), ("location", "/a/b")];
    let mut decoder = Decoder::new(4096);
    for _ in 0..4 {
        let fields = decode_all(&mut decoder, &block(&mut encoder, &secrets)).unwrap();
        assert!(fields.0.iter().all(|field| field.3), "{:?}", fields.0);
        let fields = decode_all(&mut decoder, &block(&mut encoder, &others)).unwrap();
        assert!(fields.0.iter().all(|field| !field.3), "{:?}", fields.0);
        let mut out = Vec::new();
        encoder.sensitive(b"X-Token", b"secret", &mut out);
        let fields = decode_all(&mut decoder, &out).unwrap();
        assert_eq!(fields.0, [(b"x-token".to_vec(), b"secret".to_vec(), 0, true)]);
    }
    assert_eq!(encoder.table.added(), 0);
}

#[test]
fn the_static_table_is_used_where_it_has_the_value() {
    let mut encoder = Encoder::default();
    let mut out = Vec::new();
    encoder.method(b"GET", &mut out);
    encoder.method(b"POST", &mut out);
    encoder.path(b"/", &mut out);
    encoder.path(b"/index.html", &mut out);
    encoder.scheme(b"http", &mut out);
    encoder.scheme(b"https", &mut out);
    for status in [200, 204, 206, 304, 400, 404, 500] {
        encoder.status(status, &mut out);
    }
    encoder.field(b"Accept-Encoding", b"gzip, deflate", &mut out);
    encoder.field(b"accept", b"", &mut out);
    assert_eq!(out, bytes("8283 8485 8687 8889 8a8b 8c8d 8e90 93"));
    out.clear();
    encoder.status(418, &mut out);
    encoder.authority(b"a.example", &mut out);
    let fields = decode_all(&mut Decoder::new(4096), &out).unwrap();
    assert_eq!(fields.text(), ":status: 418\n:authority: a.example\n");
}

#[test]
fn the_peers_setting_is_followed_and_told() {
    let mut encoder = Encoder::default();
    encoder.set_peer_limit(65_536);
    assert_eq!(block(&mut encoder, &[]), b"", "never more than 4,096");
    encoder.set_peer_limit(0);
    assert_eq!(block(&mut encoder, &[]), [0x20]);
    (0..3).for_each(|_| drop(block(&mut encoder, &[("a", "b")])));
    assert_eq!(encoder.table.added(), 0);
    encoder.set_peer_limit(62);
    encoder.set_peer_limit(10);
    encoder.set_peer_limit(4096);
    assert_eq!(block(&mut encoder, &[]), bytes("2a 3f e1 1f"), "the lowest and the last");
    assert_eq!(block(&mut encoder, &[]), b"");
}

/// What happens on a connection.
#[derive(Clone, Debug)]
enum Step {
    Limit(u32),
    Block(Vec<(Vec<u8>, Vec<u8>, bool)>),
}

fn step() -> impl Strategy<Value = Step> {
    let names = prop::sample::select(
        &[
            ":path",
            ":method",
            ":status",
            "Cookie",
            "date",
            "Content-Length",
            "X-Own",
            "x-other",
            "vary",
            "a",
            "",
            "authorization",
            "accept-encoding",
            "server",
        ][..],
    );
    let name = prop_oneof![
        6 => names.prop_map(|name| name.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let value = prop_oneof![
        6 => prop::sample::select(&["", "/", "GET", "200", "text/html", "gzip, deflate", "some longer value than others"][..])
            .prop_map(|value| value.as_bytes().to_vec()),
        2 => "[ -~]{0,300}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..600),
        1 => (1000_usize..5000).prop_map(|length| vec![b'x'; length]),
    ];
    let field = (name, value, prop::bool::weighted(0.05));
    prop_oneof![
        1 => prop_oneof![Just(0), Just(4096), 30_u32..300, 0_u32..10_000].prop_map(Step::Limit),
        6 => prop::collection::vec(field, 0..20).prop_map(Step::Block),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(steps in prop::collection::vec(step(), 1..12)) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(4096));
        for step in steps {
            let fields = match step {
                Step::Limit(limit) => {
                    encoder.set_peer_limit(limit);
                    decoder.set_limit(limit);
                    continue;
                }
                Step::Block(fields) => fields,
            };
            let mut out = Vec::new();
            encoder.begin_block(&mut out);
            for (name, value, sensitive) in &fields {
                if *sensitive {
                    encoder.sensitive(name, value, &mut out);
                } else {
                    encoder.field(name, value, &mut out);
                }
            }
            let decoded = decode_all(&mut decoder, &out).unwrap().0;
            let decoded: Vec<_> = decoded.into_iter().map(|(name, value, ..)| (name, value)).collect();
            let expected: Vec<_> =
                fields.into_iter().map(|(name, value, _)| (name.to_ascii_lowercase(), value)).collect();
            prop_assert_eq!(decoded, expected);
            prop_assert_eq!(decoder.table.size, encoder.table.size);
            for nth in 0.. {
                prop_assert_eq!(decoder.table.newest(nth).map(|entry| (entry.name, entry.value)),
                    encoder.table.newest(nth).map(|entry| (entry.name, entry.value)));
                if encoder.table.newest(nth).is_none() {
                    break;
                }
            }
        }
    }
}
