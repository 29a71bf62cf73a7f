use super::*;
use crate::telemetry::Telemetry;
use crate::telemetry::access::AccessLog;
use crate::upstream::registry::Registry;

const MOST: Duration = Duration::from_secs(300);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// An upstream behind the ingress: its addresses need no guard.
fn upstream() -> Arc<Upstream> {
    let text =
        "[ingress]\n[upstreams.backend]\nendpoints = [\"db.example:80\"]\ndns = { max_ttl = \"5m\" }\n";
    let config = Arc::new(config::load(text, "a test", &[]).expect("it can run"));
    let (_, fresh) = Registry::new(config, Telemetry::new(1, AccessLog::off(), clock::now()), 1);
    fresh.into_iter().next().expect("one")
}

fn leads_to(addresses: &[&str]) -> Result<Resolved, Unresolved> {
    let addresses = addresses.iter().map(|text| ip(text)).collect();
    Ok(Resolved { addresses, ttl: Duration::from_secs(60), untold: None })
}

fn absent() -> Result<Resolved, Unresolved> {
    Err(Unresolved::Absent("NXDOMAIN".into()))
}

fn untold() -> Result<Resolved, Unresolved> {
    Err(Unresolved::Untold("SERVFAIL".into()))
}

/// One round of look-ups; the addresses in use after it, and the wait.
fn round(
    upstream: &Upstream,
    memory: &mut LookupMemory,
    came: Result<Resolved, Unresolved>,
) -> (Vec<String>, Duration) {
    let (found, wait) = all(upstream, true, memory, vec![Some(came)]);
    publish(&upstream.endpoints, &found, clock::instant());
    (in_use(upstream), wait)
}

/// The address of each endpoint, and whether it is a fallback.
fn in_use(upstream: &Upstream) -> Vec<String> {
    let told = |e: &Arc<EndpointState>| {
        let fallback = if e.is_fallback() { " fallback" } else { "" };
        format!("{}{fallback}", e.addr.ip())
    };
    upstream.endpoints.load().iter().map(told).collect()
}

fn trouble(memory: &LookupMemory) -> Option<Trouble> {
    memory.names.get("db.example").and_then(|known| known.trouble)
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_can_answer_for_keeps_its_addresses_for_good() {
    let (upstream, mut memory) = (upstream(), LookupMemory::default());
    assert_eq!(round(&upstream, &mut memory, leads_to(&["192.0.2.1"])).0, ["192.0.2.1"]);
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(round(&upstream, &mut memory, untold()), (vec!["192.0.2.1".to_owned()], AGAIN));
        assert_eq!(trouble(&memory), Some(Trouble::Untold));
    }
    assert_eq!(round(&upstream, &mut memory, leads_to(&["192.0.2.2"])).0, ["192.0.2.2"]);
    assert_eq!(trouble(&memory), None);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_said_not_to_exist_keeps_its_addresses_for_max_ttl_since_it_was_seen() {
    let (upstream, mut memory) = (upstream(), LookupMemory::default());
    round(&upstream, &mut memory, leads_to(&["192.0.2.1"]));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(round(&upstream, &mut memory, absent()), (vec!["192.0.2.1".to_owned()], AGAIN));
    assert_eq!(trouble(&memory), Some(Trouble::Absent));
    tokio::time::advance(MOST - Duration::from_secs(61)).await;
    let (kept, wait) = round(&upstream, &mut memory, absent());
    assert_eq!((kept.len(), wait), (1, Duration::from_secs(1)), "looked up again when it is over");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(round(&upstream, &mut memory, absent()), (Vec::new(), AGAIN));
    assert_eq!(trouble(&memory), Some(Trouble::Gone));
    assert_eq!(round(&upstream, &mut memory, leads_to(&["192.0.2.1"])).0, ["192.0.2.1"]);
    assert_eq!(trouble(&memory), None);
}

#[tokio::test(start_paused = true)]
async fn servers_that_come_back_only_to_deny_the_name_end_a_long_wait() {
    let (upstream, mut memory) = (upstream(), LookupMemory::default());
    round(&upstream, &mut memory, leads_to(&["192.0.2.1"]));
    tokio::time::advance(MOST * 2).await;
    assert_eq!(round(&upstream, &mut memory, untold()).0.len(), 1);
    assert_eq!(round(&upstream, &mut memory, absent()).0.len(), 0, "max_ttl since it was last seen is over");
}

#[tokio::test(start_paused = true)]
async fn what_another_config_left_behind_counts_as_seen_when_it_was_taken_over() {
    let upstream = upstream();
    round(&upstream, &mut LookupMemory::default(), leads_to(&["192.0.2.1"]));
    tokio::time::advance(MOST * 2).await;
    let mut memory = LookupMemory::default();
    assert_eq!(round(&upstream, &mut memory, absent()).0.len(), 1);
    tokio::time::advance(MOST).await;
    assert_eq!(round(&upstream, &mut memory, absent()).0.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_never_was_there_has_nothing_to_keep() {
    let (upstream, mut memory) = (upstream(), LookupMemory::default());
    assert_eq!(round(&upstream, &mut memory, absent()), (Vec::new(), AGAIN));
    assert_eq!(trouble(&memory), Some(Trouble::Gone));
    assert_eq!(round(&upstream, &mut memory, untold()), (Vec::new(), AGAIN));
    assert_eq!(trouble(&memory), Some(Trouble::Untold));
}

#[tokio::test(start_paused = true)]
async fn a_family_that_nobody_can_answer_for_stays_and_keeps_its_place() {
    let (upstream, mut memory) = (upstream(), LookupMemory::default());
    round(&upstream, &mut memory, leads_to(&["2001:db8::1", "192.0.2.1"]));
    let half = |addresses: &[&str], untold| Ok(Resolved { untold: Some(untold), ..leads_to(addresses)? });
    let (now, _) = round(&upstream, &mut memory, half(&["192.0.2.1"], AddressFamily::V6));
    assert_eq!(now, ["192.0.2.1 fallback", "2001:db8::1"]);
    let (now, _) = round(&upstream, &mut memory, half(&["2001:db8::1"], AddressFamily::V4));
    assert_eq!(now, ["2001:db8::1", "192.0.2.1 fallback"]);
    let (now, _) = round(&upstream, &mut memory, leads_to(&["192.0.2.1"]));
    assert_eq!(now, ["192.0.2.1"], "a family that is said to be gone is gone");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_stays_keeps_its_state_through_any_change_of_the_others() {
    let (upstream, mut memory) = (upstream(), LookupMemory::default());
    round(&upstream, &mut memory, leads_to(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]));
    let of = |text: &str| {
        let all = upstream.endpoints.load();
        all.iter().find(|e| e.addr.ip() == ip(text)).map(Arc::clone)
    };
    let stays = of("192.0.2.1").expect("there");
    let _in_flight = stays.begin();
    stays.set_healthy(false);
    stays.set_reached();
    for (now, fallback) in [
        (vec!["192.0.2.2", "192.0.2.1", "2001:db8::1"], false), // another order
        (vec!["192.0.2.9", "192.0.2.1"], false),                // others come and go
        (vec!["192.0.2.1", "192.0.2.1"], false),                // twice is once
    ] {
        round(&upstream, &mut memory, leads_to(&now));
        let same = of("192.0.2.1").expect("there");
        assert_eq!((same.id, same.is_fallback()), (stays.id, fallback), "{now:?}");
        assert!(!same.is_healthy() && same.in_flight() == 1, "{now:?}");
    }
    assert_eq!(upstream.endpoints.load().len(), 1);
    // The other family is preferred from now on, and was reached.
    round(&upstream, &mut memory, leads_to(&["2001:db8::1", "192.0.2.1"]));
    of("2001:db8::1").expect("there").set_reached();
    round(&upstream, &mut memory, leads_to(&["2001:db8::1", "192.0.2.1"]));
    let same = of("192.0.2.1").expect("there");
    assert!(same.id == stays.id && same.is_fallback() && !same.is_healthy());
    round(&upstream, &mut memory, leads_to(&["192.0.2.1"]));
    assert!(!stays.is_fallback(), "it is the only one");
}

#[tokio::test(start_paused = true)]
async fn the_family_that_was_reached_is_called_until_the_other_one_was_too() {
    let (upstream, mut memory) = (upstream(), LookupMemory::default());
    let both = || leads_to(&["2001:db8::1", "192.0.2.1"]);
    assert_eq!(round(&upstream, &mut memory, both()).0, ["2001:db8::1", "192.0.2.1 fallback"]);
    upstream.endpoints.load()[1].set_reached();
    assert_eq!(round(&upstream, &mut memory, both()).0, ["2001:db8::1 fallback", "192.0.2.1"]);
    upstream.endpoints.load()[0].set_reached();
    assert_eq!(round(&upstream, &mut memory, both()).0, ["2001:db8::1", "192.0.2.1 fallback"]);
}

#[test]
fn localhost_is_in_place_before_the_first_look_up() {
    let text = "[ingress]\n[upstreams.backend]\nendpoints = [\"localhost.:80\"]\n";
    let config = Arc::new(config::load(text, "a test", &[]).expect("it can run"));
    let (_, fresh) = Registry::new(config, Telemetry::new(1, AccessLog::off(), clock::now()), 1);
    let all = fresh[0].endpoints.load();
    assert!(all.iter().any(|e| e.addr == SocketAddr::from(([127, 0, 0, 1], 80))));
    assert!(all.iter().all(|e| e.addr.ip().is_loopback() && e.authority() == "localhost:80"));
}
