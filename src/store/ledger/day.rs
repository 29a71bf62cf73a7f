//! One day of one subject as one member saw it, as bytes: seconds as runs, counts by the minute. Pure.
//!
//! The first byte is 1, the rest a zlib stream (its Adler-32 finds damage) of at most 16 MiB. All numbers in it are LEB128; one
//! with a sign is folded first (0, -1, 1, -2 … as 0, 1, 2, 3 …). It begins with the number of starts of the member; then each
//! of them, in the order of its name:
//!
//! | what | as |
//! |---|---|
//! | its name | its length in bytes, then its UTF-8 |
//! | its minutes | the number of runs; for each the minutes that are missing before it and its length |
//! | its seconds, all minutes one after the other | runs: a letter (its code point) and a length, until sixty a minute are there |
//! | all exchanges of each minute | the difference to the minute before, with a sign |
//! | those of them that were not good | with a sign |
//!
//! Invariants: every day that is taken in is given back as it was; the same day gives the same bytes, in whatever order its
//! minutes came; what is no packed day is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// The version of the format: the first byte of a packed day.
const FORMAT: u8 = 1;
/// Letters of a minute, and minutes of a day.
const LETTERS: usize = 60;
const MINUTES: u16 = 1_440;
/// Bytes of a day before they are compressed. A member that starts anew each second for a whole day stays below.
const MOST: u64 = 16 << 20;

/// What was seen of one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MinuteRecord {
    /// One letter a second.
    pub(super) slices: String,
    /// Exchanges of this minute that were good.
    pub(super) good: i64,
    /// Exchanges of this minute in all.
    pub(super) total: i64,
}

/// Why something is no packed day, or cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled(&'static str);

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A day: by start of the member and minute of the day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PackedDay(BTreeMap<String, BTreeMap<u16, MinuteRecord>>);

impl PackedDay {
    /// Takes in a minute, instead of what was there of the same start.
    pub(super) fn put(&mut self, boot: &str, minute: u16, seen: MinuteRecord) -> Result<(), Garbled> {
        if minute >= MINUTES {
            return Err(Garbled("a day has 1,440 minutes"));
        }
        if seen.slices.chars().count() != LETTERS {
            return Err(Garbled("a minute has sixty letters"));
        }
        if let Some(minutes) = self.0.get_mut(boot) {
            minutes.insert(minute, seen);
        } else {
            self.0.insert(boot.to_owned(), BTreeMap::from([(minute, seen)]));
        }
        Ok(())
    }

    /// All minutes: the start of the member, the minute of the day, what was seen.
    pub(super) fn minutes(self) -> impl Iterator<Item = (String, u16, MinuteRecord)> {
        self.0.into_iter().flat_map(|(boot, minutes)| {
            minutes.into_iter().map(move |(minute, seen)| (boot.clone(), minute, seen))
        })
    }

    /// The day as bytes, in the format above.
    pub(super) fn pack(&self) -> Result<Vec<u8>, Garbled> {
        let mut body = Vec::with_capacity(4_096);
        put(&mut body, self.0.len() as u64);
        for (boot, minutes) in &self.0 {
            put(&mut body, boot.len() as u64);
            body.extend_from_slice(boot.as_bytes());
            put_minutes(&mut body, minutes);
        }
        if body.len() as u64 > MOST {
            return Err(Garbled("a day of more than 16 MiB"));
        }
        let unwritten = |_| Garbled("it cannot be compressed");
        let mut packed = ZlibEncoder::new(vec![FORMAT], Compression::best());
        packed.write_all(&body).map_err(unwritten)?;
        packed.finish().map_err(unwritten)
    }

    /// Reads what [`Self::pack`] gave.
    pub(super) fn unpack(packed: &[u8]) -> Result<Self, Garbled> {
        let Some((&FORMAT, packed)) = packed.split_first() else {
            return Err(Garbled("a format that is not known here"));
        };
        let mut decoder = ZlibDecoder::new(packed).take(MOST + 1);
        let mut body = Vec::new();
        decoder.read_to_end(&mut body).map_err(|_| Garbled("what was compressed is damaged"))?;
        if body.len() as u64 > MOST || decoder.get_ref().total_in() != packed.len() as u64 {
            return Err(Garbled("it does not end where it should"));
        }
        let mut body = PackedBytes(&body);
        let mut day = Self::default();
        for _ in 0..body.number()? {
            let boot = body.text()?;
            if day.0.last_key_value().is_some_and(|(before, _)| *before >= boot) {
                return Err(Garbled("its starts are not in their order"));
            }
            let minutes = body.minutes()?;
            day.0.insert(boot, minutes);
        }
        if body.0.is_empty() { Ok(day) } else { Err(Garbled("something follows its end")) }
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Small numbers of either sign become small ones without.
fn folded(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

fn unfolded(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// What is the same, one after the other, with how often.
fn runs<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<(T, u64)> {
    let mut runs: Vec<(T, u64)> = Vec::new();
    for one in all {
        match runs.last_mut() {
            Some((same, count)) if *same == one => *count += 1,
            Some(_) | None => runs.push((one, 1)),
        }
    }
    runs
}

fn put_minutes(out: &mut Vec<u8>, minutes: &BTreeMap<u16, MinuteRecord>) {
    // A run of minutes has the same distance to their number among those that are there.
    let gaps = runs(minutes.keys().zip(0_u16..).map(|(minute, at)| minute - at));
    put(out, gaps.len() as u64);
    let mut before = 0;
    for (gap, length) in gaps {
        put(out, u64::from(gap - before));
        put(out, length);
        before = gap;
    }
    for (letter, length) in runs(minutes.values().flat_map(|seen| seen.slices.chars())) {
        put(out, u64::from(u32::from(letter)));
        put(out, length);
    }
    let mut before = 0;
    for seen in minutes.values() {
        put(out, folded(seen.total.wrapping_sub(before)));
        before = seen.total;
    }
    for seen in minutes.values() {
        put(out, folded(seen.total.wrapping_sub(seen.good)));
    }
}

/// What is left to be read.
struct PackedBytes<'a>(&'a [u8]);

impl PackedBytes<'_> {
    fn number(&mut self) -> Result<u64, Garbled> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.0.split_first() else { return Err(Garbled("it is cut off")) };
            self.0 = rest;
            let low = u64::from(byte & 0x7F);
            if low << shift >> shift != low {
                break;
            }
            number |= low << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Garbled("a number is too great"))
    }

    fn text(&mut self) -> Result<String, Garbled> {
        let length = usize::try_from(self.number()?).map_err(|_| Garbled("a text is too long"))?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Garbled("it is cut off"))?;
        self.0 = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| Garbled("a text is none"))
    }

    /// Which minutes there are, in order.
    fn places(&mut self) -> Result<Vec<u16>, Garbled> {
        let (mut places, mut next) = (Vec::new(), 0_u64);
        for run in 0..self.number()? {
            let (gap, length) = (self.number()?, self.number()?);
            let left = u64::from(MINUTES) - next;
            if gap > left || length > left - gap || length == 0 || (gap == 0 && run > 0) {
                return Err(Garbled("a day has 1,440 minutes"));
            }
            places.extend((next + gap..next + gap + length).map(|minute| minute as u16));
            next += gap + length;
        }
        Ok(places)
    }

    /// Sixty letters for each of so many minutes.
    fn slices(&mut self, minutes: usize) -> Result<Vec<String>, Garbled> {
        let mut slices = Vec::with_capacity(minutes);
        let (mut open, mut room) = (String::with_capacity(LETTERS), LETTERS);
        while slices.len() < minutes {
            let letter = u32::try_from(self.number()?).ok().and_then(char::from_u32);
            let letter = letter.ok_or(Garbled("a letter is none"))?;
            let mut length = self.number()?;
            let left = ((minutes - slices.len() - 1) * LETTERS + room) as u64;
            if length == 0 || length > left {
                return Err(Garbled("a minute has sixty letters"));
            }
            while length > 0 {
                let now = length.min(room as u64) as usize;
                open.extend(std::iter::repeat_n(letter, now));
                (room, length) = (room - now, length - now as u64);
                if room == 0 {
                    slices.push(std::mem::replace(&mut open, String::with_capacity(LETTERS)));
                    room = LETTERS;
                }
            }
        }
        Ok(slices)
    }

    fn minutes(&mut self) -> Result<BTreeMap<u16, MinuteRecord>, Garbled> {
        let places = self.places()?;
        let slices = self.slices(places.len())?;
        let (mut totals, mut total) = (Vec::with_capacity(places.len()), 0_i64);
        for _ in &places {
            total = total.wrapping_add(unfolded(self.number()?));
            totals.push(total);
        }
        let mut minutes = BTreeMap::new();
        for ((place, slices), total) in places.into_iter().zip(slices).zip(totals) {
            let good = total.wrapping_sub(unfolded(self.number()?));
            minutes.insert(place, MinuteRecord { slices, good, total });
        }
        Ok(minutes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(slices: &str, good: i64, total: i64) -> MinuteRecord {
        MinuteRecord { slices: slices.to_owned(), good, total }
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut packed = ZlibEncoder::new(vec![FORMAT], Compression::fast());
        packed.write_all(body).expect("memory");
        packed.finish().expect("memory")
    }

    /// By hand: one start "b", the minutes 1, 2 and 4; 90 s up, 90 s down; 300, 301 and 0 exchanges, of which 0, 2 and 0 failed.
    #[test]
    fn the_bytes_are_the_documented_ones() {
        let mut day = PackedDay::default();
        day.put("b", 4, seen(&"d".repeat(60), 0, 0)).expect("fits");
        day.put("b", 1, seen(&"u".repeat(60), 300, 300)).expect("fits");
        day.put("b", 2, seen(&("u".repeat(30) + &"d".repeat(30)), 299, 301)).expect("fits");
        let body = [
            &[1, 1, b'b', 2, 1, 2, 1, 1][..],
            &[b'u', 90, b'd', 90],
            &[0xD8, 0x04, 2, 0xD9, 0x04], // 600, 2, 601: +300, +1, -301
            &[0, 4, 0],
        ];
        let body = body.concat();
        assert_eq!(day.pack().expect("packs")[0], FORMAT);
        assert_eq!(PackedDay::unpack(&zlib(&body)), Ok(day.clone()));
        let mut read = Vec::new();
        ZlibDecoder::new(&day.pack().expect("packs")[1..]).read_to_end(&mut read).expect("reads");
        assert_eq!(read, body);
    }

    #[test]
    fn what_is_no_minute_of_a_day_is_not_taken_in() {
        let mut day = PackedDay::default();
        assert!(day.put("b", 1_440, seen(&"u".repeat(60), 0, 0)).is_err());
        assert!(day.put("b", 0, seen(&"u".repeat(59), 0, 0)).is_err());
        assert_eq!(day, PackedDay::default());
        assert_eq!(PackedDay::unpack(&day.pack().expect("packs")), Ok(day));
    }

    #[test]
    fn a_later_word_of_a_minute_takes_the_place_of_the_earlier_one() {
        let mut day = PackedDay::default();
        for total in [1, 7, 5] {
            day.put("b", 3, seen(&"u".repeat(60), total, total)).expect("fits");
        }
        assert_eq!(day.minutes().collect::<Vec<_>>(), [("b".to_owned(), 3, seen(&"u".repeat(60), 5, 5))]);
    }

    #[test]
    fn what_is_larger_than_any_day_is_refused_before_it_fills_the_memory() {
        assert!(PackedDay::unpack(&zlib(&vec![0; MOST as usize + 1])).is_err());
        let mut day = PackedDay::default();
        day.put(&"x".repeat(MOST as usize), 0, seen(&"u".repeat(60), 0, 0)).expect("fits");
        assert!(day.pack().is_err());
    }

    #[test]
    fn another_format_is_not_guessed_at() {
        let mut packed = PackedDay::default().pack().expect("packs");
        packed[0] = 2;
        assert_eq!(PackedDay::unpack(&packed), Err(Garbled("a format that is not known here")));
        assert!(PackedDay::unpack(&[]).is_err());
    }

    fn letters() -> impl Strategy<Value = String> {
        // Runs as they are, and letters of a version to come.
        let run =
            (prop_oneof![Just('u'), Just('g'), Just('d'), Just('m'), Just('.'), any::<char>()], 1..60_usize);
        proptest::collection::vec(run, 0..6).prop_map(|runs| {
            let letters = runs.into_iter().flat_map(|(letter, length)| std::iter::repeat_n(letter, length));
            letters.chain(std::iter::repeat('u')).take(LETTERS).collect()
        })
    }

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), 0_i64..5_000, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
    }

    type Told = (String, u16, MinuteRecord);

    fn told() -> impl Strategy<Value = Told> {
        let boot = prop_oneof![Just("a".to_owned()), Just("0197-b".to_owned()), ".{0,8}"];
        (boot, 0..MINUTES, letters(), number(), number()).prop_map(|(boot, minute, slices, good, total)| {
            (boot, minute, MinuteRecord { slices, good, total })
        })
    }

    fn day_of(told: &[Told]) -> PackedDay {
        let mut day = PackedDay::default();
        for (boot, minute, seen) in told {
            day.put(boot, *minute, seen.clone()).expect("fits");
        }
        day
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn every_day_is_given_back_as_it_was(told in proptest::collection::vec(told(), 0..40)) {
            let day = day_of(&told);
            prop_assert_eq!(PackedDay::unpack(&day.pack().expect("packs")), Ok(day));
        }

        #[test]
        fn the_order_in_which_minutes_come_changes_no_byte(
            told in proptest::collection::btree_map((0_u8..4, 0..MINUTES), (letters(), number(), number()), 0..40),
            at in any::<prop::sample::Index>(),
        ) {
            let mut told: Vec<Told> = told
                .into_iter()
                .map(|((boot, minute), (slices, good, total))| (boot.to_string(), minute, MinuteRecord { slices, good, total }))
                .collect();
            let packed = day_of(&told).pack().expect("packs");
            if !told.is_empty() {
                let middle = at.index(told.len());
                told.rotate_left(middle);
                told[..middle].reverse();
            }
            prop_assert_eq!(day_of(&told).pack().expect("packs"), packed);
        }

        /// Unpacked, added to, packed again: as if all had come at once.
        #[test]
        fn a_day_that_was_packed_takes_in_what_comes_late(
            told in proptest::collection::vec(told(), 0..30),
            late in proptest::collection::vec(told(), 0..10),
        ) {
            let mut day = PackedDay::unpack(&day_of(&told).pack().expect("packs")).expect("unpacks");
            for (boot, minute, seen) in &late {
                day.put(boot, *minute, seen.clone()).expect("fits");
            }
            let all: Vec<Told> = told.into_iter().chain(late).collect();
            prop_assert_eq!(day.pack(), day_of(&all).pack());
        }

        #[test]
        fn cut_off_it_is_an_error(told in proptest::collection::vec(told(), 0..10), at in any::<prop::sample::Index>()) {
            let packed = day_of(&told).pack().expect("packs");
            prop_assert!(PackedDay::unpack(&packed[..at.index(packed.len())]).is_err());
            prop_assert!(PackedDay::unpack(&[&packed[..], &[0]].concat()).is_err());
        }

        #[test]
        fn a_byte_that_changed_is_an_error_or_changes_nothing(
            told in proptest::collection::vec(told(), 1..10),
            at in any::<prop::sample::Index>(),
            by in 1_u8..,
        ) {
            let mut packed = day_of(&told).pack().expect("packs");
            let at = at.index(packed.len());
            packed[at] ^= by;
            if let Ok(read) = PackedDay::unpack(&packed) {
                // Some bits of zlib's own say nothing of the content: how well it was compressed, what fills a byte up.
                prop_assert_eq!(read, day_of(&told));
            }
        }

        /// Whatever it holds: an error, or a day that packs to what unpacks to the same.
        #[test]
        fn any_bytes_are_an_error_or_a_day(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(PackedDay::unpack(&body).is_err() || body.first() == Some(&FORMAT));
            if let Ok(day) = PackedDay::unpack(&zlib(&body)) {
                prop_assert_eq!(PackedDay::unpack(&day.pack().expect("packs")), Ok(day));
            }
        }

        /// The same of bytes that are nearly right.
        #[test]
        fn a_garbled_body_is_an_error_or_a_day(
            told in proptest::collection::vec(told(), 0..6),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let packed = day_of(&told).pack().expect("packs");
            let mut body = Vec::new();
            ZlibDecoder::new(&packed[1..]).read_to_end(&mut body).expect("reads");
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if let Ok(day) = PackedDay::unpack(&zlib(&body)) {
                prop_assert_eq!(PackedDay::unpack(&day.pack().expect("packs")), Ok(day));
            }
        }
    }
}
