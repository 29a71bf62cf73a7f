use super::*;
use crate::config::tests::config_text;
use crate::units::Written as _;

fn upstream(text: &str) -> std::sync::Arc<UpstreamConfig> {
    let config = crate::config::load(text, "a test", &[]).expect("it can run");
    std::sync::Arc::clone(config.upstreams.last().expect("one"))
}

fn is_complete(text: &str) -> bool {
    let upstream = upstream(text);
    match &upstream.endpoints[0].host {
        Host::Name(name) => {
            assert!(!name.text.ends_with('.'), "what TLS verifies has no dot");
            upstream.is_complete(name)
        }
        Host::Address(ip) => panic!("{ip} is no name"),
    }
}

#[test]
fn what_customers_notice_is_one_sentence() {
    let text = |impact: &str| {
        config_text(&format!(
            r#"
                [egress]
                [upstreams.stripe]
                preset = "stripe"
                impact = {impact:?}
            "#
        ))
    };
    let told = "Customers cannot pay by card.";
    assert_eq!(upstream(&text(told)).impact.as_deref(), Some(told));
    assert_eq!(upstream("[egress]\n[upstreams.stripe]\npreset = \"stripe\"\n").impact, None);
    let vendor = |text: &str| upstream(text).vendor;
    assert_eq!(vendor("[egress]\n[upstreams.stripe]\npreset = \"stripe\"\n"), Some(Preset::Stripe));
    for wrong in ["", "two\nlines", &"x".repeat(201)] {
        let problems = crate::config::load(&text(wrong), "a test", &[]).expect_err("is refused").to_string();
        assert!(problems.contains("upstreams.stripe.impact") && problems.contains("such as"), "{problems}");
    }
}

#[test]
fn a_dot_a_preset_and_hosts_make_a_name_complete() {
    let behind = |endpoint: &str| format!("[ingress]\n[upstreams.backend]\nendpoints = [\"{endpoint}\"]\n");
    assert!(!is_complete(&behind("db.shop:80")));
    assert!(is_complete(&behind("DB.shop.:80")));
    assert!(is_complete("[egress]\n[upstreams.stripe]\npreset = \"stripe\"\n"));
    assert!(is_complete(&config_text(
        r#"
            [egress]
            [upstreams.stripe]
            preset = "stripe"
            hosts = []
        "#
    )));
    assert!(is_complete(&config_text(
        r#"
            [egress]
            [upstreams.x]
            hosts = ["x.example"]
            endpoints = ["x.example:443"]
        "#
    )));
    assert!(Endpoint::read(".:80").is_none() && Endpoint::read("..:80").is_none());
}

#[test]
fn a_short_name_of_an_upstream_with_hosts_is_warned_of() {
    let told = |endpoint: &str| {
        let text = config_text(&format!(
            r#"
                [egress]
                [upstreams.x]
                hosts = ["x.example"]
                endpoints = ["{endpoint}"]
            "#
        ));
        let config = crate::config::load(&text, "a test", &[]).expect("it can run");
        crate::config::warnings::short_names(&config.upstreams[0]).collect::<Vec<_>>()
    };
    let short = told("gateway:443");
    assert!(short.len() == 1 && short[0].contains("upstreams.x.endpoints has \"gateway\""), "{short:?}");
    for fine in ["gateway.ns.svc:443", "gateway.:443", "localhost:443", "192.0.2.1:443"] {
        assert!(told(fine).is_empty(), "{fine}");
    }
}
