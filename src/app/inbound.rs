//! The listener for what pagers and chats post back.

use std::net::SocketAddr;
use std::sync::Arc;

use super::bound::bind_one;
use crate::config::Config;
use crate::config::reload::Reloader;
use crate::control::Handle;
use crate::runtime::drain::Drain;
use crate::runtime::tasks::Tasks;
use crate::telemetry::Telemetry;

/// Binds and serves it; its name and its address, when there is one.
pub(super) fn begin(
    config: &Config,
    handle: &Handle,
    reloader: &Arc<Reloader>,
    telemetry: &Arc<Telemetry>,
    tasks: &Tasks,
    drain: &Drain,
) -> anyhow::Result<Option<(String, SocketAddr)>> {
    let Some(inbound) = &config.inbound else { return Ok(None) };
    let (listener, address) = bind_one(inbound.listen, "inbound.listen")?;
    let (handle, reloader, telemetry) = (handle.clone(), Arc::clone(reloader), Arc::clone(telemetry));
    let served = crate::admin::inbound(handle, reloader, telemetry, listener, drain.listening());
    tasks.spawn("inbound", served);
    Ok(Some(("inbound".to_owned(), address)))
}
