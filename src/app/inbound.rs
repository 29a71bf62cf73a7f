//! The listener for what pagers and chats post back.

use std::net::SocketAddr;
use std::sync::Arc;

use super::bind_one;
use crate::config::Config;
use crate::config::reload::Reloader;
use crate::control::Handle;
use crate::runtime::drain::Drain;
use crate::runtime::tasks::Tasks;

/// Binds and serves it; its name and its address, when there is one.
pub(super) fn begin(
    config: &Config,
    handle: &Handle,
    reloader: &Arc<Reloader>,
    tasks: &Tasks,
    drain: &Drain,
) -> anyhow::Result<Option<(String, SocketAddr)>> {
    let Some(inbound) = &config.inbound else { return Ok(None) };
    let (listener, address) = bind_one(inbound.listen, "inbound.listen")?;
    let served = crate::admin::inbound(handle.clone(), Arc::clone(reloader), listener, drain.listening());
    tasks.spawn("inbound", served);
    Ok(Some(("inbound".to_owned(), address)))
}
