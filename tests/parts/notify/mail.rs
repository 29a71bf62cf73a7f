//! Mail, by a real server.

use super::*;

/// A real mail server and the directory where it puts what it took.
struct Mailbox {
    server: Server,
    dir: tempfile::TempDir,
}

fn mail_server(security: &str, pair: &[&Path]) -> Mailbox {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(python("smtp_server.py").arg(dir.path()).arg(security).args(pair));
    Mailbox { server, dir }
}

impl Mailbox {
    /// What it took, in its order.
    fn mails(&self) -> Vec<serde_json::Value> {
        let read = |n: usize| std::fs::read(self.dir.path().join(format!("{n}.json"))).ok();
        (1..).map_while(read).map(|text| json(&text)).collect()
    }

    fn channel(&self, tls: &str, more: &str) -> String {
        format!(
            r#"
                [notify.mail]
                kind = "email"
                server = "localhost:{}"
                tls = "{tls}"
                from = "strop@example.com"
                {more}
            "#,
            self.server.address.port()
        )
    }
}

const TO_ONCALL: &str = "to = [\"oncall@example.com\"]\n";

fn field(mail: &serde_json::Value, name: &str) -> String {
    let text = mail["text"].as_str().expect("text").replace("\r\n ", " ");
    let of = |line: &str| line.strip_prefix(&format!("{name}: ")).map(str::to_owned);
    text.lines().find_map(of).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn a_real_mail_server_takes_a_thread_of_mails() {
    let mailbox = mail_server("plain", &[]);
    let engine = engine(&mailbox.channel("none", TO_ONCALL), PATIENCE);
    let receipt = engine.tell_as("mail", &incident(MessageKind::Trigger), "m1").expect("delivered");
    assert_eq!(
        (receipt.said.as_str(), receipt.to.as_str()),
        ("250 taken as 1", "oncall@example.com by localhost")
    );
    engine.tell_as("mail", &incident(MessageKind::Trigger), "m1").expect("delivered again");
    engine.tell_as("mail", &incident(MessageKind::Resolve), "m2").expect("delivered");
    let mails = mailbox.mails();
    let ids: Vec<String> = mails.iter().map(|mail| field(mail, "Message-ID")).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
    assert!(mails.iter().all(|mail| field(mail, "References") == field(&mails[0], "In-Reply-To")));
    assert_eq!(mails[0]["hello"], "[127.0.0.1]");
    assert!(field(&mails[2], "Subject").starts_with("[critical] payments: resolved: Stripe"));
    let text = mails[0]["text"].as_str().expect("text");
    assert!(text.contains("multipart/alternative") && text.contains("error rate: 42=C2=A0%"), "{text}");
}

#[test]
fn one_recipient_that_is_refused_keeps_nobody_else_from_being_told() {
    let mailbox = mail_server("plain", &[]);
    let to = |to: &str| engine(&mailbox.channel("none", &format!("to = [{to}]\n")), PATIENCE);
    let both = to("\"nobody@example.com\", \"oncall@example.com\"");
    let receipt = both.tell("mail", &incident(MessageKind::Trigger)).expect("delivered");
    assert!(
        receipt.said.contains("nobody@example.com") && receipt.said.contains("no such user"),
        "{receipt}"
    );
    assert_eq!(mailbox.mails()[0]["to"], serde_json::json!(["oncall@example.com"]));
    assert!(to("\"nobody@example.com\"").fails("mail").permanent);
    let error = to("\"later@example.com\", \"nobody@example.com\"").fails("mail");
    assert!(!error.permanent && error.cause.contains("come back later"), "{error}");
}

#[test]
fn a_recipient_who_is_put_off_is_asked_again_alone_and_only_who_has_it_is_named() {
    let mailbox = mail_server("plain", &[]);
    let to = "to = [\"grey@example.com\", \"oncall@example.com\"]\n";
    let engine = engine(&mailbox.channel("none", to), PATIENCE);
    let mut queue = NotificationQueue::default();
    queue.push(Queued::new("m1".to_owned(), "mail".to_owned(), incident(MessageKind::Trigger), 0));
    let mut told = Vec::new();
    let mut clock = 0;
    while let Some(at) = queue.wakes_at(clock) {
        clock = at;
        for entry in queue.depart(clock) {
            let name = named("mail");
            let id = entry.id.to_string();
            let asked = engine.sender.deliver_to(&name, &entry.message, &id, &entry.left);
            let came = engine.runtime.block_on(asked);
            told.push(came.as_ref().map_or_else(|error| error.cause.clone(), |receipt| receipt.to.clone()));
            queue.landed(entry, &came, clock, 0);
        }
    }
    assert_eq!(told, ["oncall@example.com by localhost", "grey@example.com by localhost"]);
    assert_eq!(queue.entries()[0].progress.state, DeliveryState::Sent);
    let mails = mailbox.mails();
    let recipients: Vec<&serde_json::Value> = mails.iter().map(|mail| &mail["to"]).collect();
    let each = [serde_json::json!(["oncall@example.com"]), serde_json::json!(["grey@example.com"])];
    assert_eq!(recipients, [&each[0], &each[1]], "nobody gets it twice");
    assert_eq!(field(&mails[0], "Message-ID"), field(&mails[1], "Message-ID"));
    let gone = engine.runtime.block_on(engine.sender.deliver_to(
        &named("mail"),
        &incident(MessageKind::Trigger),
        "m2",
        &["left@example.com".to_owned()],
    ));
    assert!(gone.expect_err("no recipient of the config").permanent);
}

#[test]
fn mail_goes_through_tls_that_is_verified_and_with_a_log_in() {
    let issued = issue(&["localhost"]);
    for security in ["starttls", "implicit"] {
        let mailbox = mail_server(security, &[&issued.cert, &issued.key]);
        let login = "username = \"strop\"\npassword_file = SECRET_FILE\n";
        let channel = mailbox.channel(security, &format!("{TO_ONCALL}{login}"));
        let stranger = engine(&channel, PATIENCE).fails("mail");
        assert_eq!(
            (stranger.why, stranger.permanent),
            (DeliveryFailure::Tls, false),
            "{security}: {stranger}"
        );
        let trusting = format!("{channel}ca_file = {:?}\n", issued.ca);
        engine(&trusting, PATIENCE).tell("mail", &incident(MessageKind::Trigger)).expect("delivered");
        let wrong = engine(&trusting.replace("\"strop\"", "\"stranger\""), PATIENCE).fails("mail");
        assert!(wrong.permanent && wrong.cause.contains("log-in"), "{wrong}");
        let mails = mailbox.mails();
        assert_eq!((mails.len(), &mails[0]["secure"]), (1, &serde_json::json!(true)), "{security}");
    }
}

#[test]
fn mail_is_not_sent_in_the_clear_where_tls_is_wanted() {
    let mailbox = mail_server("plain", &[]);
    let error = engine(&mailbox.channel("starttls", TO_ONCALL), PATIENCE).fails("mail");
    assert!(error.permanent && error.cause.contains("offers no STARTTLS"), "{error}");
    assert!(mailbox.mails().is_empty());
}

/// CVE-2011-0411 and its kin: what somebody in the middle adds after "go ahead" must not count as said in TLS.
#[test]
fn nothing_said_before_tls_is_believed_after_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let middle = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepts");
        let mut lines = BufReader::new(stream.try_clone().expect("clones"));
        let said =
            ["220 hello\r\n", "250-hello\r\n250 STARTTLS\r\n", "220 go ahead\r\n250 welcome\r\n250 OK\r\n"];
        for say in said {
            stream.write_all(say.as_bytes()).expect("writes");
            // The last thing that is read is no line but TLS.
            let _ = lines.read_until(b'\n', &mut Vec::new());
        }
    });
    let toml = format!(
        r#"
            [notify.mail]
            kind = "email"
            server = "localhost:{port}"
            from = "strop@example.com"
            {TO_ONCALL}
        "#
    );
    assert_eq!(engine(&toml, PATIENCE).fails("mail").why, DeliveryFailure::Tls);
    middle.join().expect("ends");
}
