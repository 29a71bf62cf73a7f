//! Removes the keys of a Redis that begin in one way: SCAN and UNLINK, piece by piece.
//!
//! Neither holds the server up (redis.io/docs/latest/commands/scan, …/unlink): a piece looks at a thousand keys, what is removed is
//! freed by a thread of Redis' own, and as long as a piece took nothing is asked afterwards. Refuses to know `FLUSHALL`.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisError, TlsCertificates, cmd};
use secrecy::ExposeSecret as _;

use crate::config::RedisKeys;
use crate::reliability::recovery::StepResult;
use crate::runtime::clock;

/// Keys that one SCAN looks at.
const PIECE: u32 = 1_000;
/// How long a connection, and each answer, may take.
const ANSWERS: Duration = Duration::from_secs(5);

/// Removes them, within a time: what came of it, in a word and in words for people.
pub(super) async fn keys_of(keys: &RedisKeys, within: Duration) -> (StepResult, String) {
    let mut removed = 0;
    let ended = tokio::time::timeout(within, all(keys, &mut removed)).await;
    let (url, prefix) = (&keys.url, &keys.prefix);
    let told = format!("{removed} keys of {url} that begin with {prefix:?} are removed");
    match ended {
        Ok(Ok(())) if removed == 0 => {
            (StepResult::Unneeded, format!("no key of {url} begins with {prefix:?}"))
        }
        Ok(Ok(())) => (StepResult::Done, told),
        Ok(Err(error)) => (StepResult::Failed, format!("{told}, and then: {error}")),
        Err(_) => (StepResult::Failed, format!("{told}, and not all within {within:?}")),
    }
}

async fn all(keys: &RedisKeys, removed: &mut u64) -> Result<(), String> {
    let mut redis = connect(keys).await?;
    let pattern = pattern(&keys.prefix);
    let mut cursor = 0;
    loop {
        let begun = clock::instant();
        cursor = piece(&mut redis, cursor, &pattern, removed).await.map_err(|error| error.to_string())?;
        if cursor == 0 {
            return Ok(());
        }
        tokio::time::sleep(clock::instant().duration_since(begun)).await;
    }
}

/// One SCAN, and an UNLINK of what it has found; where to go on, 0: nowhere.
async fn piece(
    redis: &mut MultiplexedConnection,
    cursor: u64,
    pattern: &[u8],
    removed: &mut u64,
) -> Result<u64, RedisError> {
    let mut scan = cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PIECE);
    let (next, found): (u64, Vec<Vec<u8>>) = scan.query_async(redis).await?;
    if !found.is_empty() {
        let gone: u64 = cmd("UNLINK").arg(found).query_async(redis).await?;
        *removed += gone;
    }
    Ok(next)
}

async fn connect(keys: &RedisKeys) -> Result<MultiplexedConnection, String> {
    let told = |error: RedisError| error.to_string();
    let mut info = keys.url.as_str().into_connection_info().map_err(told)?;
    if let Some(password) = &keys.password {
        let settings = info.redis_settings().clone().set_password(password.expose_secret());
        info = info.set_redis_settings(settings);
    }
    let client = match &keys.ca_file {
        Some(file) => {
            let roots =
                crate::runtime::files::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(roots) })
        }
        None => Client::open(info),
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWERS))
        .set_response_timeout(Some(ANSWERS));
    let client = client.map_err(told)?;
    client.get_multiplexed_async_connection_with_config(&config).await.map_err(told)
}

/// What matches all keys that begin so, and nothing else: what has a meaning in a pattern is taken as it stands.
fn pattern(prefix: &str) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix.bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'^' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_pattern_is_a_letter_in_a_prefix() {
        assert_eq!(pattern("cache:"), b"cache:*");
        assert_eq!(pattern(r"a*b?[c]\"), br"a\*b\?\[c\]\\*");
    }
}
