//! Starts the parts that belong together: store, desk, post.

use std::sync::Arc;

use super::{Control, Handle, Observer, Post, Records};
use crate::config::Config;
use crate::notify::{Channels, PATIENCE, Sender};
use crate::runtime::drain::Drain;
use crate::runtime::tasks::Tasks;
use crate::store::{Store, StoreError};
use crate::telemetry::Telemetry;
use crate::upstream::registry::Registry;

/// What runs.
#[derive(Clone)]
pub struct Running {
    /// For those who look and order.
    pub handle: Handle,
    /// Takes other channels on a reload.
    pub sender: Arc<Sender>,
    /// To be closed at the end; `None`: it is off.
    pub store: Option<Store>,
}

/// Starts them. An error is what only the operator can change; a database that is away is none.
pub async fn start(
    config: &Config,
    registry: &Arc<Registry>,
    telemetry: &Arc<Telemetry>,
    tasks: &Tasks,
    drain: &Drain,
) -> Result<Running, StoreError> {
    let store = match &config.store {
        Some(config) => Some(Store::open_joining(config, tasks, super::records::join).await?),
        None => None,
    };
    let boot = uuid::Uuid::now_v7().to_string();
    let records = Records::new(store.clone(), &config.process.name, &boot);
    let sender = Arc::new(Sender::new(Arc::new(Channels::new(config)), PATIENCE));
    let observer = Observer::new(Arc::clone(registry), Arc::clone(telemetry));
    let (posting, kept) = (Arc::clone(&sender), records.clone());
    let (control, handle, courier) =
        Control::new(observer, Arc::clone(telemetry), records, |replies| Post::new(posting, kept, replies));
    tasks.spawn("post", control.post().run(drain.listening(), control.duty()));
    if let Some(courier) = courier {
        tasks.spawn("fleet", courier.run(drain.clone()));
    }
    tasks.spawn("control", control.run(drain.clone()));
    Ok(Running { handle, sender, store })
}
