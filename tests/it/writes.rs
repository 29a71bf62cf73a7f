use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::{Client, Response, ask, find};
use crate::support::upstream::{Upstream, status};

/// What becomes of one connection to the processor, counted in bytes of the request or of its answer.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Reset once so many bytes of the request have come; when that is all of it, the payment has been made.
    Reset(usize),
    /// Silent from there on, and open.
    Silent(usize),
    /// The payment is made, and its answer is reset after so many bytes.
    Cut(usize),
    /// The payment is made, and the answer is this status all the same. It is kept with the key.
    Failed(u16),
    /// Another request with this key is being carried out: nothing is done.
    Busy,
}

/// What the processor knows of one call.
#[derive(Clone, Debug, Default)]
struct Call {
    payments: usize,
    /// Connections by which at least one byte came.
    heard: usize,
    /// Requests that came in whole.
    whole: Vec<Vec<u8>>,
}

/// A payment processor that knows keys as Stripe does: the first result of a key is its result, whatever it was.
#[derive(Default)]
struct Processor {
    /// By their `X-Request-Id`: what came late belongs to the call that it was sent for.
    calls: HashMap<String, Call>,
    /// Whose turn it is.
    now: String,
    faults: VecDeque<Fault>,
    results: HashMap<String, u16>,
}

const PAID: &[u8] = b"HTTP/1.1 200 Paid\r\nContent-Length: 4\r\n\r\npaid";
const KEY: &str = "idempotency-key";

#[derive(Clone)]
struct Stand {
    address: SocketAddr,
    processor: Arc<Mutex<Processor>>,
}

impl Stand {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let stand = Self { address: listener.local_addr().expect("bound"), processor: Arc::default() };
        let served = stand.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let one = served.clone();
                std::thread::spawn(move || one.serve(stream));
            }
        });
        stand
    }

    fn lock(&self) -> MutexGuard<'_, Processor> {
        self.processor.lock().expect("not poisoned")
    }

    /// Its requests, one after the other. What becomes of each is decided when its connection is there, or its first byte.
    fn serve(&self, mut stream: TcpStream) {
        for nth in 0.. {
            if nth > 0 && !matches!(stream.peek(&mut [0]), Ok(1)) {
                return;
            }
            let fault = self.lock().faults.pop_front();
            let until = match fault {
                Some(Fault::Reset(at) | Fault::Silent(at)) => at,
                Some(Fault::Cut(_) | Fault::Failed(_) | Fault::Busy) | None => usize::MAX,
            };
            let Some(request) = self.read(&mut stream, until) else { return };
            let whole = is_whole(&request);
            let answer = if whole { self.carry_out(request, fault) } else { PAID.to_vec() };
            match fault {
                Some(Fault::Reset(_)) => return reset(&stream),
                Some(Fault::Silent(_)) => {
                    while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
                    return;
                }
                Some(Fault::Cut(bytes)) => {
                    let _ = stream.write_all(&answer[..bytes.min(answer.len())]);
                    return reset(&stream);
                }
                Some(Fault::Failed(_) | Fault::Busy) | None => {
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// A request, or its first `until` bytes; `None`: there is none.
    fn read(&self, stream: &mut TcpStream, until: usize) -> Option<Vec<u8>> {
        let (mut request, mut block) = (Vec::new(), [0; 4096]);
        while request.len() < until && !is_whole(&request) {
            let room = block.len().min(until - request.len());
            let n = stream.read(&mut block[..room]).ok().filter(|n| *n > 0)?;
            if request.is_empty() {
                let mut processor = self.lock();
                let now = processor.now.clone();
                processor.calls.entry(now).or_default().heard += 1;
            }
            request.extend_from_slice(&block[..n]);
        }
        Some(request)
    }

    fn carry_out(&self, request: Vec<u8>, fault: Option<Fault>) -> Vec<u8> {
        let (key, id) = (field(&request, KEY), field(&request, "x-request-id").expect("each has one"));
        let mut processor = self.lock();
        processor.calls.entry(id.clone()).or_default().whole.push(request);
        if matches!(fault, Some(Fault::Busy)) {
            return told(409);
        }
        let known = key.as_ref().and_then(|key| processor.results.get(key)).copied();
        let result = known.unwrap_or(if let Some(Fault::Failed(status)) = fault { status } else { 200 });
        if known.is_none() {
            processor.calls.entry(id).or_default().payments += 1;
            key.map(|key| processor.results.insert(key, result));
        }
        if result == 200 { PAID.to_vec() } else { told(result) }
    }

    /// One payment, with these faults in its way; what its client was told, and what the processor knows.
    fn pay(&self, ingress: SocketAddr, request: &str, faults: &[Fault]) -> (Response, Call) {
        let id = field(request.as_bytes(), "x-request-id").expect("each has one");
        {
            let mut processor = self.lock();
            processor.faults = faults.iter().copied().collect();
            processor.now.clone_from(&id);
        }
        let mut client = Client::to(ingress);
        client.send(request.as_bytes());
        let answer = client.response(false).unwrap_or_default();
        let mut processor = self.lock();
        processor.faults.clear();
        (answer, processor.calls.get(&id).cloned().unwrap_or_default())
    }
}

fn told(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn is_whole(request: &[u8]) -> bool {
    find(request, b"\r\n\r\n").is_some_and(|end| request.len() == end + 4 + BODY.len())
}

fn field(request: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(request).to_lowercase();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
}

const BODY: &str = "amount=2000&currency=usd&source=tok_visa";

/// Whose key a payment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keyed {
    No,
    ByClient,
    ByRoute,
}

const LANES: [Keyed; 6] =
    [Keyed::No, Keyed::No, Keyed::ByClient, Keyed::ByClient, Keyed::ByRoute, Keyed::ByRoute];

fn request(lane: usize, keyed: Keyed, number: usize) -> String {
    let key = match keyed {
        Keyed::ByClient => format!("Idempotency-Key: order-{lane}-{number:06}\r\n"),
        Keyed::No | Keyed::ByRoute => String::new(),
    };
    let length = BODY.len();
    format!(
        "POST /{lane}/v1/charges HTTP/1.1\r\nHost: pay.example\r\nX-Request-Id: {number:06}\r\n{key}Content-Length: {length}\r\nConnection: close\r\n\r\n{BODY}"
    )
}

/// A proxy in front of as many processors as there are lanes, each with a route.
fn lanes(stands: &[Stand]) -> Proxy {
    let mut text = "[ingress]\nlisten = \"127.0.0.1:0\"\nupstream = \"pay0\"\n".to_owned();
    for (lane, (stand, keyed)) in stands.iter().zip(LANES).enumerate() {
        let inject = if keyed == Keyed::ByRoute { "inject_key = true\n" } else { "" };
        text.push_str(&format!(
            "[[routes]]\nname = \"lane{lane}\"\nprefix = \"/{lane}\"\nupstream = \"pay{lane}\"\n{inject}\
             [upstreams.pay{lane}]\nendpoints = [\"{}\"]\n\
             idempotency = {{ header = \"Idempotency-Key\", undone = [\"409\"] }}\n\
             retry = {{ idempotent = true, attempts = 3, budget = \"100%\", min_per_second = 1000, backoff = \"1ms\", statuses = [\"500-599\"] }}\n\
             breaker = {{ mode = \"off\" }}\ntimeouts = {{ per_try = \"300ms\" }}\n",
            stand.address
        ));
    }
    proxy(&text)
}

/// Faults at every byte of the request and of its answer, some of them twice in a row.
fn faults(length: usize) -> Vec<Vec<Fault>> {
    let mut all = Vec::new();
    all.extend((0..=length).map(|at| vec![Fault::Reset(at)]));
    all.extend((0..=length).step_by(17).map(|at| vec![Fault::Silent(at)]));
    all.push(vec![Fault::Silent(length)]);
    all.extend((0..PAID.len()).map(|at| vec![Fault::Cut(at)]));
    all.extend((0..=length).step_by(7).map(|at| vec![Fault::Reset(at), Fault::Cut(at % 19)]));
    all.extend([500, 502, 503, 504].map(|status| vec![Fault::Failed(status)]));
    all.push(vec![Fault::Busy]);
    all.push(vec![Fault::Silent(length), Fault::Busy]);
    all
}

/// What must hold of one payment.
fn judge(keyed: Keyed, faults: &[Fault], answer: &Response, call: &Call) {
    let Call { payments, heard, .. } = call;
    let what = format!("{keyed:?} {faults:?}: {}, {payments} payments, {heard} connections", answer.status);
    assert!(call.payments <= 1, "paid twice: {what}");
    assert!(call.whole.iter().all(|other| *other == call.whole[0]), "other bytes: {what}");
    if keyed == Keyed::No {
        assert!(call.heard <= 1, "repeated, and a byte had arrived: {what}");
        return;
    }
    match faults {
        // What the processor has said is its result, and nothing is repeated.
        [Fault::Failed(status)] => assert_eq!((answer.status, call.heard), (*status, 1), "{what}"),
        _ => assert_eq!((answer.status, call.payments), (answered(faults), 1), "{what}"),
    }
}

/// An answer that has begun to leave is not repeated: the client sees where it broke off.
fn answered(faults: &[Fault]) -> u16 {
    let head = find(PAID, b"\r\n\r\n").expect("a head") + 4;
    match faults {
        [.., Fault::Cut(bytes)] if *bytes >= head => 0,
        _ => 200,
    }
}

#[test]
fn no_payment_is_made_twice_wherever_it_breaks() {
    let stands: Vec<Stand> = LANES.iter().map(|_| Stand::start()).collect();
    let proxy = lanes(&stands);
    let ingress = proxy.ingress();
    let trials: usize = std::thread::scope(|scope| {
        let lane = |(lane, (stand, keyed)): (usize, (&Stand, Keyed))| {
            let stand = stand.clone();
            scope.spawn(move || {
                let (first, call) = stand.pay(ingress, &request(lane, keyed, 0), &[]);
                assert_eq!((first.status, call.payments), (200, 1), "{call:?}");
                let all = faults(call.whole[0].len());
                // Two lanes share the work.
                let mine: Vec<_> = all.iter().enumerate().filter(|(nth, _)| nth % 2 == lane % 2).collect();
                for (nth, faults) in &mine {
                    let (answer, call) = stand.pay(ingress, &request(lane, keyed, nth + 1), faults);
                    judge(keyed, faults, &answer, &call);
                }
                let keys: HashSet<String> = stand.lock().results.keys().cloned().collect();
                let wanted = if keyed == Keyed::No { 0 } else { mine.len() + 1 };
                assert_eq!(keys.len(), wanted, "each call has a key of its own");
                mine.len()
            })
        };
        let lanes: Vec<_> = stands.iter().zip(LANES).enumerate().map(lane).collect();
        lanes.into_iter().map(|lane| lane.join().expect("holds")).sum()
    });
    assert!(trials >= 1_000, "{trials} trials");
    let repeated = |lane: usize, reason: &str| {
        proxy.metric("strop_retries_total", &format!("upstream=\"pay{lane}\",reason=\"{reason}\""))
    };
    assert!((0..2).all(|lane| repeated(lane, "key") == 0.0));
    assert!((2..6).all(|lane| repeated(lane, "key") > 100.0), "the others were worth it");
    assert!((0..6).all(|lane| repeated(lane, "status") == 0.0));
}

/// Keys as the backend saw them, in order.
fn keys(backend: &Upstream) -> Vec<Vec<String>> {
    let own = |seen: &crate::support::upstream::Seen| {
        seen.fields(KEY).iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()
    };
    backend.seen().iter().map(own).collect()
}

fn send(proxy: &Proxy, method: &str, path: &str, fields: &str) -> u16 {
    let length = BODY.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{BODY}"
    );
    ask(proxy.ingress(), &text).status
}

#[test]
fn a_key_is_made_by_choice_for_writes_that_have_none_and_for_no_other_request() {
    let backend = Upstream::start(status(200));
    let text = |inject: bool, route: &str| {
        format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                [upstreams.backend]
                endpoints = ["{}"]
                idempotency = {{ header = "Idempotency-Key", inject = {inject} }}
                [[routes]]
                prefix = "/other"
                inject_key = {route}
            "#,
            backend.address
        )
    };
    let on = proxy(&text(true, "false"));
    assert_eq!(send(&on, "POST", "/a", ""), 200);
    assert_eq!(send(&on, "POST", "/b", ""), 200);
    assert_eq!(send(&on, "POST", "/c", "Idempotency-Key: mine\r\n"), 200);
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        assert_eq!(send(&on, method, "/d", ""), 200);
    }
    assert_eq!(send(&on, "POST", "/other", ""), 200);
    let off = proxy(&text(false, "true"));
    assert_eq!(send(&off, "POST", "/e", ""), 200);
    assert_eq!(send(&off, "POST", "/other", ""), 200);
    let all = keys(&backend);
    let fresh: HashSet<&str> = [&all[0], &all[1], &all[9]].iter().map(|keys| keys[0].as_str()).collect();
    assert_eq!(fresh.len(), 3, "{all:?}");
    for key in fresh {
        let id = uuid::Uuid::parse_str(key).expect("a UUID");
        assert_eq!(id.get_version_num(), 4, "{key}");
    }
    assert_eq!(all[2], ["mine"]);
    assert!(all[3..9].iter().all(Vec::is_empty), "{all:?}");
}

#[test]
fn a_key_that_stays_on_this_hop_and_one_of_several_vouch_for_nothing() {
    let stand = Stand::start();
    let more = "idempotency = { header = \"Idempotency-Key\", inject = true }\n\
                retry = { idempotent = true, attempts = 3 }\nbreaker = { mode = \"off\" }\n";
    let proxy = ingress_to(stand.address, more);
    let with =
        |nth: usize, fields: &str| request(0, Keyed::No, nth).replacen("Connection: close\r\n", fields, 1);
    let all = [
        ("Connection: close\r\nIdempotency-Key: k\r\n", 2),
        ("Connection: close, Idempotency-Key\r\nIdempotency-Key: k2\r\n", 1),
        ("Connection: close\r\nIdempotency-Key: k3\r\nIdempotency-Key: k3\r\n", 1),
        ("Connection: close\r\nIdempotency-Key:\r\n", 1),
    ];
    for (nth, (fields, heard)) in all.into_iter().enumerate() {
        let (answer, call) = stand.pay(proxy.ingress(), &with(nth, fields), &[Fault::Reset(40)]);
        assert_eq!(
            (call.heard, answer.status),
            (heard, if heard == 2 { 200 } else { 502 }),
            "{fields}: {call:?}"
        );
    }
}

#[test]
fn a_route_gives_no_key_to_an_upstream_that_knows_none() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let text = std::fs::read_to_string(proxy.path()).expect("reads");
    let refused = proxy.reload(&format!("{text}\n[[routes]]\nprefix = \"/pay\"\ninject_key = true\n"));
    assert!(refused.text().contains("knows no idempotency keys"), "{}", refused.text());
}
