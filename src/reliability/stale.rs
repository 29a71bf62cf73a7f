//! Which answers a shared cache may keep, and when a kept one may stand in for an answer that fails.
//!
//! RFC 9111 says what may be kept and how old it is; RFC 5861 section 4 how long past its time it may be used. A kept answer
//! is used on failure alone, so nothing here revalidates. Where the RFCs leave a choice the narrower one is taken: what was
//! asked for with credentials (a cookie is one, and whatever names itself so) is kept only where the answer says `public`.

use std::time::Duration;

/// The directives of `Cache-Control` that matter here, of a request or of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    no_store: bool,
    no_cache: bool,
    private: bool,
    public: bool,
    /// must-revalidate or proxy-revalidate.
    revalidate: bool,
    max_age: Option<u64>,
    s_maxage: Option<u64>,
    stale_if_error: Option<u64>,
}

impl CacheControl {
    /// Reads the lines of the field. What cannot be read as a number is 0: the answer is stale (RFC 9111 section 4.2.1). Of
    /// two the lesser counts.
    pub fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut read = Self::default();
        for line in lines {
            members(line).for_each(|member| read.add(member));
        }
        read
    }

    fn add(&mut self, member: &[u8]) {
        let mut parts = member.splitn(2, |b| *b == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let value = parts.next().map(seconds);
        let least = |before: Option<u64>| {
            let new = value.unwrap_or(0);
            Some(before.map_or(new, |before| before.min(new)))
        };
        match name.as_slice() {
            b"no-store" => self.no_store = true,
            // With field names too: which of them may go on is not looked at.
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"public" => self.public = true,
            b"must-revalidate" | b"proxy-revalidate" => self.revalidate = true,
            b"max-age" => self.max_age = least(self.max_age),
            b"s-maxage" => self.s_maxage = least(self.s_maxage),
            b"stale-if-error" => self.stale_if_error = least(self.stale_if_error),
            _ => {}
        }
    }
}

/// The members of a list; a comma within quotes is none between two.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |b| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    })
}

/// A number of seconds, also in quotes; 0 for what is none. 2^31 stands for more (RFC 9111 section 1.2.2).
fn seconds(value: &[u8]) -> u64 {
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.parse().unwrap_or(u64::MAX).min(1 << 31)
}

/// Parts of the names of fields that tell who asks, between their hyphens.
const OF_A_PERSON: [&[u8]; 25] = [
    b"accesstoken",
    b"account",
    b"apikey",
    b"assertion",
    b"auth",
    b"authentication",
    b"authorization",
    b"cert",
    b"clientcert",
    b"cookie",
    b"credential",
    b"credentials",
    b"dpop",
    b"email",
    b"identity",
    b"jwt",
    b"key",
    b"password",
    b"principal",
    b"secret",
    b"session",
    b"sid",
    b"signature",
    b"token",
    b"user",
];

/// Does a field of this name tell who asks? RFC 9111 section 3.5 knows `Authorization` alone; applications also
/// `X-Api-Key`, `X-Auth-Token` and what a proxy in front says of the user (`X-Forwarded-User`, a client's certificate).
pub fn is_credential(name: &[u8]) -> bool {
    // Of the browser: names that begin so cannot be given by a script (Fetch), and none is a credential.
    let of_browser = name.eq_ignore_ascii_case(b"user-agent")
        || name.get(..4).is_some_and(|first| first.eq_ignore_ascii_case(b"sec-"));
    let mut parts = name.split(|b| matches!(b, b'-' | b'_'));
    !of_browser && parts.any(|part| OF_A_PERSON.iter().any(|word| part.eq_ignore_ascii_case(word)))
}

/// What a request says to a cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheRequest {
    /// GET.
    pub gets: bool,
    /// It has a field that is a [credential](is_credential).
    pub has_credentials: bool,
    /// It has `Range`: a part was asked for.
    pub asks_for_part: bool,
    pub control: CacheControl,
}

/// What an answer says to a cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheAnswer {
    pub status: u16,
    pub sets_cookie: bool,
    /// `Vary: *`.
    pub varies_by_all: bool,
    /// It has `Content-Range`.
    pub is_part: bool,
    pub control: CacheControl,
    /// Seconds of the field `Age`.
    pub age: Option<u64>,
    /// Seconds from `Date` to now.
    pub apparent_age: Option<u64>,
    /// Seconds from `Date` to `Expires`; 0 for an `Expires` that cannot be read.
    pub expires_after: Option<u64>,
}

/// How old a kept answer was when it came, and how old it may be when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    age: Duration,
    most: Duration,
}

/// May the answer be kept? `past`: how long past its time the operator lets it stand in.
pub fn keeps(request: &CacheRequest, answer: &CacheAnswer, past: Duration) -> Option<Lifetime> {
    let (asked, said) = (&request.control, &answer.control);
    // RFC 9111 section 3: final, understood, whole; what is kept is found by GET alone.
    let plain = request.gets && !request.asks_for_part && !answer.is_part;
    let known = matches!(answer.status, 200 | 203 | 301 | 308 | 404 | 410);
    // RFC 9111 sections 5.2.1.5, 5.2.2.5, 5.2.2.7; no-cache (5.2.2.4): never used without asking, and so never here.
    let forbidden = asked.no_store || said.no_store || said.private || said.no_cache;
    // RFC 9111 section 3.5, and cookies, which are as much of a person.
    let personal = answer.sets_cookie || request.has_credentials && !said.public;
    if !plain || !known || forbidden || personal || answer.varies_by_all {
        return None;
    }
    let fresh = said.s_maxage.or(said.max_age).or(answer.expires_after).unwrap_or(0);
    // RFC 9111 section 4.2.4: s-maxage has the meaning of proxy-revalidate.
    let stale = if said.revalidate || said.s_maxage.is_some() {
        Duration::ZERO
    } else {
        said.stale_if_error.map_or(past, |seconds| past.min(Duration::from_secs(seconds)))
    };
    let age = Duration::from_secs(answer.age.max(answer.apparent_age).unwrap_or(0));
    let most = Duration::from_secs(fresh) + stale;
    (age < most).then_some(Lifetime { age, most })
}

impl Lifetime {
    /// The age of an answer that was kept for `kept`, where it may stand in for the answer to this request; `None`: not.
    pub fn stands_in(&self, kept: Duration, request: &CacheRequest) -> Option<Duration> {
        let asked = &request.control;
        let age = self.age + kept;
        let refused = asked.no_store || asked.no_cache || request.asks_for_part;
        let too_old = asked.max_age.is_some_and(|most| age > Duration::from_secs(most));
        (!refused && !too_old && age < self.most).then_some(age)
    }

    /// Will it never stand in again?
    pub fn is_over(&self, kept: Duration) -> bool {
        self.age + kept >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAST: Duration = Duration::from_secs(600);
    const GET: CacheRequest = CacheRequest {
        gets: true,
        has_credentials: false,
        asks_for_part: false,
        control: CacheControl {
            no_store: false,
            no_cache: false,
            private: false,
            public: false,
            revalidate: false,
            max_age: None,
            s_maxage: None,
            stale_if_error: None,
        },
    };

    fn control(text: &str) -> CacheControl {
        CacheControl::read(std::iter::once(text.as_bytes()))
    }

    fn said(text: &str) -> CacheAnswer {
        CacheAnswer { status: 200, control: control(text), ..CacheAnswer::default() }
    }

    /// Seconds for which an answer may stand in.
    fn most(request: &CacheRequest, answer: &CacheAnswer) -> Option<u64> {
        keeps(request, answer, PAST).map(|lifetime| lifetime.most.as_secs())
    }

    #[test]
    fn what_says_nothing_stands_in_for_as_long_as_the_operator_says() {
        assert_eq!(most(&GET, &said("")), Some(600));
        assert_eq!(most(&GET, &said("max-age=60")), Some(660), "RFC 5861 section 4: past its freshness");
        assert_eq!(most(&GET, &said("max-age=60, stale-if-error=30")), Some(90));
        assert_eq!(most(&GET, &said("stale-if-error=86400")), Some(600), "the operator's bound stays");
        let expires = CacheAnswer { expires_after: Some(30), ..said("") };
        assert_eq!(most(&GET, &expires), Some(630));
    }

    #[test]
    fn what_must_not_be_kept_is_not() {
        for text in [
            "no-store",
            "private",
            "no-cache",
            "private=\"x, y\"",
            "a=\"b, c\", NO-STORE",
            "max-age=5,no-cache=\"x\"",
        ] {
            assert_eq!(most(&GET, &said(text)), None, "{text}");
        }
        let asked = CacheRequest { control: control("no-store"), ..GET };
        assert_eq!(most(&asked, &said("")), None, "RFC 9111 section 5.2.1.5");
        for answer in [
            CacheAnswer { sets_cookie: true, ..said("public") },
            CacheAnswer { varies_by_all: true, ..said("") },
            CacheAnswer { is_part: true, ..said("") },
            CacheAnswer { status: 206, ..said("") },
            CacheAnswer { status: 500, ..said("") },
        ] {
            assert_eq!(most(&GET, &answer), None, "{answer:?}");
        }
        for request in [CacheRequest { gets: false, ..GET }, CacheRequest { asks_for_part: true, ..GET }] {
            assert_eq!(most(&request, &said("")), None);
        }
    }

    #[test]
    fn what_is_a_persons_is_kept_only_where_the_answer_says_that_it_is_everybodys() {
        let person = CacheRequest { has_credentials: true, ..GET };
        assert_eq!(most(&person, &said("max-age=60")), None, "RFC 9111 section 3.5");
        assert_eq!(most(&person, &said("s-maxage=60")), None);
        assert_eq!(most(&person, &said("public, max-age=60")), Some(660));
    }

    #[test]
    fn a_field_that_names_itself_so_tells_who_asks() {
        for name in [
            "Authorization",
            "cookie",
            "X-Api-Key",
            "apikey",
            "x_auth_token",
            "X-Forwarded-User",
            "X-Forwarded-Client-Cert",
            "Cf-Access-Jwt-Assertion",
            "X-CSRF-Token",
        ] {
            assert!(is_credential(name.as_bytes()), "{name}");
        }
        for name in ["User-Agent", "Sec-Fetch-User", "Accept-Language", "X-Request-Id", "X-Keyboard", "Host"]
        {
            assert!(!is_credential(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_must_be_revalidated_stands_in_while_it_is_fresh_and_no_longer() {
        for text in ["max-age=60, must-revalidate", "max-age=60, proxy-revalidate", "s-maxage=60, max-age=5"]
        {
            assert_eq!(most(&GET, &said(text)), Some(60), "RFC 9111 section 4.2.4: {text}");
        }
        assert_eq!(most(&GET, &said("must-revalidate")), None);
    }

    #[test]
    fn age_counts_from_where_it_was_made() {
        let old = CacheAnswer { age: Some(500), apparent_age: Some(20), ..said("") };
        let lifetime = keeps(&GET, &old, PAST).expect("kept");
        assert_eq!(lifetime.stands_in(Duration::from_secs(99), &GET), Some(Duration::from_secs(599)));
        assert_eq!(lifetime.stands_in(Duration::from_secs(100), &GET), None);
        assert!(lifetime.is_over(Duration::from_secs(100)) && !lifetime.is_over(Duration::from_secs(99)));
        let fixed = CacheAnswer { apparent_age: Some(600), ..said("") };
        assert_eq!(keeps(&GET, &fixed, PAST), None, "RFC 9111 section 4.2.3");
    }

    #[test]
    fn a_request_that_wants_the_servers_own_answer_gets_no_kept_one() {
        let lifetime = keeps(&GET, &said(""), PAST).expect("kept");
        let after = |text: &str| {
            lifetime.stands_in(Duration::from_secs(10), &CacheRequest { control: control(text), ..GET })
        };
        assert!(after("").is_some() && after("max-age=10").is_some() && after("max-stale").is_some());
        assert!(["no-cache", "no-store", "max-age=9", "max-age=x"].iter().all(|text| after(text).is_none()));
        let part = CacheRequest { asks_for_part: true, ..GET };
        assert_eq!(lifetime.stands_in(Duration::ZERO, &part), None, "ranges never mix");
    }
}
