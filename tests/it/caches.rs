//! `cache_clear` of a real Redis.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy};
use crate::support::secure::{TlsFront, issue};
use crate::support::tools::tool;
use crate::support::upstream::{Upstream, status};

const PASSWORD: &str = "only the cache's";

/// A Redis that listens at a path, and whoever carries connections there.
struct Redis {
    server: Child,
    path: PathBuf,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Redis {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("redis");
        let server = tool("redis-server")
            .args(["--port", "0", "--save", "", "--requirepass", PASSWORD, "--unixsocket"])
            .arg(&path)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server: run tests/setup");
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        let to = path.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Ok(redis) = UnixStream::connect(&to) else { continue };
                carry(&stream, &redis);
            }
        });
        let redis = Self { server, path, address, dir };
        eventually("it listens", || UnixStream::connect(&redis.path).is_ok());
        redis
    }

    /// What it answers to one command.
    fn asked(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(&self.path).expect("it listens");
        stream.write_all(format!("AUTH \"{PASSWORD}\"\r\n{command}\r\n").as_bytes()).expect("sends");
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next().expect("answers").expect("reads"), "+OK");
        lines.next().expect("answers").expect("reads")
    }

    fn keys(&self) -> String {
        self.asked("DBSIZE")
    }

    fn password_file(&self) -> PathBuf {
        let file = self.dir.path().join("password");
        std::fs::write(&file, PASSWORD).expect("writes");
        file
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn carry(one: &TcpStream, other: &UnixStream) {
    let (mut from, mut to) = (one.try_clone().expect("one more"), other.try_clone().expect("one more"));
    let (mut back_from, mut back_to) =
        (other.try_clone().expect("one more"), one.try_clone().expect("one more"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(std::net::Shutdown::Write);
    });
}

fn clearing(backend: &Upstream, hook: &str) -> Proxy {
    by_step(backend, hook, ", mode = \"act\"")
}

fn by_step(backend: &Upstream, hook: &str, mode: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [recovery.actions.cache_clear]
            {hook}
            [plans.wrong_answers]
            services = ["backend"]
            steps = [{{ action = "cache_clear"{mode} }}]
        "#,
        backend.address
    ))
}

/// What came of its step, and what is told of that.
fn clear(proxy: &Proxy) -> (String, String) {
    let step = proxy.first_step("wrong_answers");
    let text = |key: &str| step[key].as_str().expect("text").to_owned();
    (text("result"), text("detail"))
}

#[test]
fn the_keys_of_a_cache_go_and_all_others_stay() {
    let (redis, backend) = (Redis::start(), Upstream::start(status(200)));
    let fill = "EVAL \"for i=1,2500 do redis.call('SET','cache[1]:'..i,i) end; \
                for i=1,40 do redis.call('SET','cache1:'..i,i) redis.call('SET','session:'..i,i) end\" 0";
    assert_eq!(redis.asked(fill), "$-1");
    assert_eq!(redis.keys(), ":2580");
    let hook = format!(
        "redis = \"redis://{}/0\"\npassword_file = {:?}\nprefix = \"cache[1]:\"",
        redis.address,
        redis.password_file()
    );
    let proxy = clearing(&backend, &hook);
    let (result, told) = clear(&proxy);
    assert_eq!(result, "done", "{told}");
    assert!(told.starts_with("2500 keys of redis://") && !told.contains(PASSWORD), "{told}");
    assert_eq!(redis.keys(), ":80", "cache1: is matched by what cache[1]: would mean as a pattern");
    let (result, told) = clear(&proxy);
    assert_eq!(result, "unneeded", "{told}");
    assert!(told.ends_with("begins with \"cache[1]:\""), "{told}");
}

#[test]
fn a_redis_is_reached_by_tls_and_what_it_refuses_is_told_in_its_words() {
    let (redis, backend) = (Redis::start(), Upstream::start(status(200)));
    let issued = issue(&["localhost"]);
    let front = TlsFront::start(&issued, redis.address);
    assert_eq!(redis.asked("SET cache:1 x"), "+OK");
    let at = |more: &str| {
        format!(
            "redis = \"rediss://localhost:{}\"\nca_file = {:?}\nprefix = \"cache:\"\n{more}",
            front.address.port(),
            issued.ca
        )
    };
    let (result, told) = clear(&clearing(&backend, &at("")));
    assert!(result == "failed" && told.contains("NOAUTH"), "{result}: {told}");
    assert_eq!(redis.keys(), ":1");
    let password = format!("password_file = {:?}", redis.password_file());
    let (result, told) = clear(&clearing(&backend, &at(&password)));
    assert_eq!((result.as_str(), redis.keys().as_str()), ("done", ":0"), "{told}");
    let elsewhere = at(&password).replace("localhost", "127.0.0.1");
    let (result, told) = clear(&clearing(&backend, &elsewhere));
    assert!(result == "failed", "its certificate is for another name: {told}");
    drop(redis);
    let (result, told) = clear(&clearing(&backend, &at("")));
    assert!(result == "failed", "{told}");
}

/// A plan that nobody has told to act says what it would do.
#[test]
fn without_a_word_not_one_key_goes() {
    let (redis, backend) = (Redis::start(), Upstream::start(status(200)));
    assert_eq!(redis.asked("SET cache:1 x"), "+OK");
    let hook = format!(
        "redis = \"redis://{}\"\npassword_file = {:?}\nprefix = \"cache:\"",
        redis.address,
        redis.password_file()
    );
    let step = by_step(&backend, &hook, "").first_step("wrong_answers");
    assert_eq!(step["result"], "dry_run", "{step}");
    assert_eq!(redis.keys(), ":1");
}
