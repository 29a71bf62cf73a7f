use proptest::prelude::*;

use super::huffman::NotInTheCode;
use super::table::{INITIAL, STATIC, lowest, static_index};
use super::{Decoder, Encoder, Field, FieldSink, HpackError, huffman, static_name};

/// Name, value, [`Field::known`], [`Field::sensitive`].
pub(super) type Owned = (Vec<u8>, Vec<u8>, u8, bool);

#[derive(Default)]
pub(super) struct Fields(pub(super) Vec<Owned>);

impl FieldSink for Fields {
    fn field(&mut self, field: Field<'_>) {
        self.0.push((field.name.to_vec(), field.value.to_vec(), field.known, field.sensitive));
    }
}

impl Fields {
    /// One line a field.
    pub(super) fn text(&self) -> String {
        let line = |(name, value, ..): &Owned| {
            format!("{}: {}\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        };
        self.0.iter().map(line).collect()
    }
}

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(super) fn decode_all(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, HpackError> {
    let mut fields = Fields::default();
    decoder.decode(block, &mut fields, usize::MAX).map(|()| fields)
}

/// What a new decoder says of a block in hexadecimal digits.
fn fresh(hex: &str) -> Result<String, HpackError> {
    decode_all(&mut Decoder::new(4096), &bytes(hex)).map(|fields| fields.text())
}

/// Blocks of one connection, each with its fields and the size of the table after it.
fn connection(limit: u32, blocks: &[(&str, &str, usize)]) {
    let mut decoder = Decoder::new(limit);
    for (hex, expected, size) in blocks {
        assert_eq!(decode_all(&mut decoder, &bytes(hex)).unwrap().text(), *expected);
        assert_eq!(decoder.table.size, *size, "after {expected}");
    }
}

#[test]
fn the_literals_of_appendix_c_2_are_read() {
    let indexed = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    connection(4096, &[(indexed, "custom-key: custom-header\n", 55)]);
    connection(4096, &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", 0)]);
    connection(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret\n", 0)]);
    connection(4096, &[("82", ":method: GET\n", 0)]);
    let never = decode_all(&mut Decoder::new(4096), &bytes("1008 7061 7373 776f 7264 0673 6563 7265 74"));
    assert!(never.unwrap().0[0].3, "it is told as sensitive");
}

const FIRST: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
const SECOND: &str =
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n";
const THIRD: &str = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: \
                     custom-value\n";

#[test]
fn the_requests_of_appendix_c_3_and_c_4_are_read() {
    connection(
        4096,
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST, 57),
            ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND, 110),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD, 164),
        ],
    );
    connection(
        4096,
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST, 57),
            ("8286 84be 5886 a8eb 1064 9cbf", SECOND, 110),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD, 164),
        ],
    );
}

const MOVED: &str = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: \
                     https://www.example.com\n";
const MOVED_AGAIN: &str = ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: \
                           https://www.example.com\n";
const FOUND: &str = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: \
                     https://www.example.com\ncontent-encoding: gzip\nset-cookie: \
                     foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n";

#[test]
fn the_answers_of_appendix_c_5_and_c_6_are_read() {
    connection(
        256,
        &[
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
                 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                MOVED,
                222,
            ),
            ("4803 3330 37c1 c0bf", MOVED_AGAIN, 222),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
                 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
                 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                FOUND,
                215,
            ),
        ],
    );
    connection(
        256,
        &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
                 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                MOVED,
                222,
            ),
            ("4883 640e ffc1 c0bf", MOVED_AGAIN, 222),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
                 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                FOUND,
                215,
            ),
        ],
    );
}

#[test]
fn the_code_is_that_of_appendix_b() {
    let codes: [(u8, u32, u32); 12] = [
        (b'0', 0, 5),
        (b'a', 3, 5),
        (b' ', 0x14, 6),
        (b'z', 0x7b, 7),
        (b'&', 0xf8, 8),
        (b'!', 0x3f8, 10),
        (b'\\', 0x7_fff0, 19),
        (0x80, 0xf_ffe6, 20),
        (1, 0x7f_ffd8, 23),
        (203, 0x7ff_ffde, 27),
        (249, 0xfff_fffe, 28),
        (22, 0x3fff_fffe, 30),
    ];
    for (symbol, code, length) in codes {
        let mut out = Vec::new();
        huffman::encode(&[symbol], &mut out);
        let expected = (code << (32 - length) | u32::MAX >> length).to_be_bytes();
        assert_eq!(out, expected[..length.div_ceil(8) as usize], "{symbol}");
    }
}

#[test]
fn a_string_that_is_not_in_the_code_is_refused() {
    let wrong = [
        ("ff ff ff ff", "EOS"),
        ("1f ff ff ff fb", "EOS behind a symbol"),
        ("ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff", "EOS with much behind it"),
        ("ff", "a byte of nothing"),
        ("1f ff", "more than seven bits behind the last symbol"),
        ("18", "the last bits are not ones"),
        ("ff ff", "a long symbol that ends too early"),
    ];
    for (hex, why) in wrong {
        let mut out = Vec::new();
        assert_eq!(huffman::decode(&bytes(hex), &mut out, 100), Err(NotInTheCode), "{why}");
    }
    let mut out = b"kept".to_vec();
    assert_eq!((huffman::decode(&bytes("1f"), &mut out, 100), &out[..]), (Ok(1), &b"kepta"[..]));
    assert_eq!(huffman::decode(b"", &mut out, 100), Ok(0));
}

#[test]
fn what_breaks_the_format_is_told_apart() {
    let all: [(&str, HpackError); 17] = [
        ("80", HpackError::Index),
        ("be", HpackError::Index),
        ("ff 80 01", HpackError::Index),
        ("7e 01 61", HpackError::Index),
        ("ff 80 80 80 80 80 00", HpackError::Integer),
        ("ff ff ff ff ff 7f", HpackError::Integer),
        ("ff 80", HpackError::Truncated),
        ("ff", HpackError::Truncated),
        ("40", HpackError::Truncated),
        ("40 02 61", HpackError::Truncated),
        ("40 01 61", HpackError::Truncated),
        ("40 01 61 05 62", HpackError::Truncated),
        ("40 01 61 7f ff ff ff ff 0f", HpackError::Integer),
        ("40 01 61 81 18", HpackError::Huffman),
        ("40 84 ff ff ff ff 00", HpackError::Huffman),
        ("3f e2 1f", HpackError::SizeUpdate),
        ("82 20", HpackError::SizeUpdate),
    ];
    for (hex, error) in all {
        assert_eq!(fresh(hex), Err(error), "{hex}");
    }
    assert_eq!(fresh("20 3f e1 1f 82").as_deref(), Ok(":method: GET\n"), "4,096 is allowed");
    assert_eq!(fresh("").as_deref(), Ok(""));
}

#[test]
fn integers_are_those_of_appendix_c_1() {
    let mut decoder = Decoder::new(4096);
    decode_all(&mut decoder, &bytes("3f 9a 0a")).unwrap();
    assert_eq!(decoder.table.max(), 1337);
    decode_all(&mut decoder, &bytes("2a")).unwrap();
    assert_eq!(decoder.table.max(), 10);
    let mut out = Vec::new();
    let mut encoder = Encoder::default();
    encoder.set_peer_limit(1337);
    encoder.begin_block(&mut out);
    assert_eq!(out, bytes("3f 9a 0a"));
}

#[test]
fn a_lowered_limit_has_to_be_acknowledged_in_the_next_block() {
    let lowered = || {
        let mut decoder = Decoder::new(4096);
        decoder.set_limit(100);
        decoder.set_limit(8192);
        decoder
    };
    assert_eq!(decode_all(&mut lowered(), &bytes("82")).err(), Some(HpackError::SizeUpdate));
    assert_eq!(decode_all(&mut lowered(), &bytes("3f 46 82")).err(), Some(HpackError::SizeUpdate), "101");
    let mut decoder = lowered();
    decode_all(&mut decoder, b"").unwrap();
    decode_all(&mut decoder, &bytes("3f 45 3f e1 3f 82")).unwrap();
    assert_eq!(decoder.table.max(), 8192);
    decode_all(&mut decoder, &bytes("82")).unwrap();
    // One that never used more owes nothing.
    decoder.set_limit(8192);
    decode_all(&mut decoder, &bytes("82")).unwrap();
}

#[test]
fn the_table_of_a_larger_limit_begins_with_what_the_peer_assumes() {
    let mut decoder = Decoder::new(65_536);
    assert_eq!(decoder.table.max(), INITIAL);
    decode_all(&mut decoder, &bytes("3f e1 ff 03")).unwrap();
    assert_eq!(decoder.table.max(), 65_536);
    assert_eq!(Decoder::new(0).table.max(), 0);
}

#[test]
fn too_large_a_head_leaves_the_table_in_step() {
    let mut decoder = Decoder::new(4096);
    // a: b added, :method, a: b again; 34, 42 and 34 bytes.
    let block = bytes("40 01 61 01 62 82 be 40 01 63 01 64");
    for (most, taken) in [(0, 0), (33, 0), (34, 1), (75, 1), (76, 2), (109, 2), (110, 3), (143, 3)] {
        let mut fields = Fields::default();
        assert_eq!(decoder.decode(&block, &mut fields, most), Err(HpackError::TooLarge));
        assert_eq!(fields.0.len(), taken, "of {most} bytes");
        assert_eq!(decode_all(&mut decoder, &bytes("be bf")).unwrap().text(), "c: d\na: b\n");
    }
    assert_eq!(decoder.decode(&block, &mut Fields::default(), 144), Ok(()));
}

#[test]
fn a_block_that_names_one_entry_again_and_again_is_not_read_to_its_end() {
    let mut decoder = Decoder::new(4096);
    // x: 3,900 times "v", which is 3,933 bytes as they are counted.
    decode_all(&mut decoder, &[&bytes("40 01 78 7f bd 1d")[..], &[b'v'; 3_900]].concat()).unwrap();
    let named = |times: usize| vec![0x80 | 62; times];
    let times = (4 * 10_000 + 64 * 1024) / 3_933;
    for (block, why) in [
        (named(times), HpackError::TooLarge),
        (named(times + 1), HpackError::Bomb),
        // What follows is not looked at, whatever it is.
        ([&named(times + 1)[..], &bytes("ff ff ff ff ff ff")].concat(), HpackError::Bomb),
    ] {
        let mut fields = Fields::default();
        assert_eq!(decoder.decode(&block, &mut fields, 10_000), Err(why));
        assert_eq!(fields.0.len(), 2);
    }
}

#[test]
fn a_string_that_nobody_can_take_costs_no_memory() {
    let mut decoder = Decoder::new(4096);
    decode_all(&mut decoder, &bytes("40 01 61 01 62")).unwrap();
    // 1.6 MB of "0" in 1 MB, for the table too.
    let mut block = bytes("41 ff c1 83 3d");
    block.resize(block.len() + 1_000_000, 0);
    let mut fields = Fields::default();
    assert_eq!(decoder.decode(&block, &mut fields, 10_000), Err(HpackError::TooLarge));
    assert!(fields.0.is_empty() && decoder.scratch.capacity() < 16 * 1024, "{}", decoder.scratch.capacity());
    assert_eq!(decode_all(&mut decoder, &bytes("be")).err(), Some(HpackError::Index), "it emptied the table");
    *block.last_mut().unwrap() = 0x18;
    assert_eq!(
        decoder.decode(&block, &mut fields, 10_000),
        Err(HpackError::Huffman),
        "it is read to its end"
    );
}

#[test]
fn a_long_string_leaves_no_memory_behind() {
    let mut decoder = Decoder::new(4096);
    // "x" and 16,000 times "0", in 10,000 bytes.
    let mut block = bytes("00 01 78 ff 91 4d");
    block.resize(block.len() + 10_000, 0);
    let fields = decode_all(&mut decoder, &block).unwrap();
    assert_eq!(fields.0[0].1, [b'0'; 16_000]);
    assert!(decoder.scratch.capacity() <= 8 * 1024, "{}", decoder.scratch.capacity());
}

#[test]
fn a_name_is_taken_from_an_entry_that_goes_for_it() {
    let mut decoder = Decoder::new(70);
    decode_all(&mut decoder, &bytes("40 03 61 62 63 01 78")).unwrap();
    for value in ["79", "7a"] {
        let block = bytes(&format!("7e 1e {}", value.repeat(30)));
        let fields = decode_all(&mut decoder, &block).unwrap();
        assert_eq!(fields.0[0].0, b"abc");
        assert_eq!(decode_all(&mut decoder, &bytes("be")).unwrap().0, fields.0);
        assert_eq!(decode_all(&mut decoder, &bytes("bf")).err(), Some(HpackError::Index));
    }
}

#[test]
fn a_name_of_the_static_table_is_known_wherever_it_comes_from() {
    let mut decoder = Decoder::new(4096);
    let known = |fields: Fields| fields.0.iter().map(|field| field.2).collect::<Vec<_>>();
    let block = bytes("8e 48 01 31 be 7e 01 32 be 5f 01 74 be 40 01 61 01 62 be");
    assert_eq!(known(decode_all(&mut decoder, &block).unwrap()), [8, 8, 8, 8, 8, 31, 31, 0, 0]);
    for (at, (name, _)) in STATIC.iter().enumerate() {
        let index = at as u8 + 1;
        assert_eq!((static_index(name), static_name(index)), (lowest(index), *name));
    }
    assert_eq!(
        (static_index(b"x-other"), static_index(b""), static_name(0), static_name(62)),
        (0, 0, &b""[..], &b""[..])
    );
}

proptest! {
    #[test]
    fn the_code_of_any_text_is_its_own(text in prop::collection::vec(any::<u8>(), 0..300), most in 0_usize..400) {
        let (mut packed, mut out) = (Vec::new(), b"before".to_vec());
        huffman::encode(&text, &mut packed);
        prop_assert_eq!(packed.len(), huffman::encoded_len(&text));
        prop_assert_eq!(huffman::decode(&packed, &mut out, most), Ok(text.len()));
        if text.len() <= most {
            prop_assert_eq!(&out[6..], &text);
        }
        prop_assert!(out.len() <= 6 + most + 12 && out.starts_with(b"before"));
    }

    #[test]
    fn no_bytes_break_it(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        limit in 0_u32..600,
        most in 0_usize..2_000,
    ) {
        let mut decoder = Decoder::new(limit);
        for block in blocks {
            let mut fields = Fields::default();
            let _ = decoder.decode(&block, &mut fields, most);
            let size: usize = fields.0.iter().map(|(name, value, ..)| name.len() + value.len() + 32).sum();
            prop_assert!(size <= most);
            prop_assert!(decoder.table.size <= limit as usize);
            prop_assert!(decoder.table.bytes.capacity() <= 2 * limit as usize + 256);
            prop_assert!(decoder.scratch.capacity() <= 8 * 1024);
        }
    }
}
