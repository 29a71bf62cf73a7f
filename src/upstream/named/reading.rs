//! Fetches the application's document, and puts its names in force.
//!
//! [`Rereading`] decides when. Whatever goes wrong leaves the names as they are, and is told when it begins to.

use std::sync::Arc;
use std::time::Duration;

use super::document::{self, Document, DocumentError, MOST_BYTES};
use super::state::DocumentView;
use crate::config::{Config, DocumentSource};
use crate::names::UpstreamName;
use crate::net::http::{Bound, HttpAnswer};
use crate::reliability::failover::BreakerSight;
use crate::reliability::rereading::{ReadEnd, RereadSight, Rereading};
use crate::reliability::verdict::{BadReason, Verdict};
use crate::runtime::drain::Drain;
use crate::runtime::timer::{every, within};
use crate::runtime::{chance, clock, tasks};
use crate::telemetry::application::DocumentState;
use crate::telemetry::event::ApplicationEvent;
use crate::upstream::registry::Registry;
use crate::upstream::single::{self, SingleGet};
use crate::upstream::{Upstream, health};

/// A document that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest `ETag` that is sent back.
const MOST_TAG: usize = 256;

/// Reads the document as often as the config in force says, until the process leaves.
pub async fn watch(registry: Arc<Registry>, drain: Drain) {
    let mut reader = DocumentReader { registry, wanted: None, last: None };
    let mut second = every(Duration::from_secs(1));
    loop {
        let turn = async {
            second.tick().await;
            reader.turn().await;
        };
        tokio::select! {
            () = drain.requested() => return,
            () = turn => {}
        }
    }
}

struct DocumentReader {
    registry: Arc<Registry>,
    wanted: Option<WantedDocument>,
    /// The config at the last look.
    last: Option<Arc<Config>>,
}

/// A document that the config asks for.
struct WantedDocument {
    source: DocumentSource,
    upstream: UpstreamName,
    when: Rereading,
    tag: Option<String>,
    /// What was read last, and named.
    named: Option<u64>,
    /// What was told since then of why it names nothing.
    told: Option<(DocumentState, String)>,
}

/// What came of asking.
enum Fetched {
    /// It is what it was.
    Unchanged,
    Document {
        bytes: Vec<u8>,
        tag: Option<String>,
    },
    Not(DocumentState, String),
}

impl DocumentReader {
    async fn turn(&mut self) {
        let now = clock::instant();
        self.follow();
        let free = self.registry.forget_names(now);
        let Some(wanted) = &mut self.wanted else { return };
        if free > 0 {
            // Whatever found no name may have one at the next reading.
            (wanted.tag, wanted.named) = (None, None);
        }
        let world = Arc::clone(&self.registry.snapshot());
        let Some(upstream) = world.in_force(&wanted.upstream).map(Arc::clone) else { return };
        drop(world);
        if !wanted.when.look(sight(&upstream), now) {
            return;
        }
        let fetched = fetch(&upstream, wanted).await;
        let end = match fetched {
            Fetched::Not(DocumentState::Unreachable, _) => ReadEnd::Unanswered,
            Fetched::Not(..) | Fetched::Document { .. } | Fetched::Unchanged => ReadEnd::Answered,
        };
        wanted.take(&self.registry, fetched).await;
        wanted.when.read(end, clock::instant());
    }

    /// Does what a reload has changed.
    fn follow(&mut self) {
        let config = Arc::clone(&self.registry.snapshot().config);
        if self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &config)) {
            return;
        }
        let now = clock::instant();
        let wanted = config.ingress.as_ref().and_then(|it| Some((it.openapi.as_ref()?, &it.upstream)));
        let held = self.wanted.as_ref().map(|one| (&one.source, &one.upstream));
        if held == wanted {
            self.registry.rename_routes(now);
        } else {
            if wanted.is_none() {
                self.registry.unname_routes(now);
            }
            let view = wanted.map(|(source, _)| DocumentView::wanted(&source.path, source.every));
            self.registry.set_document(view);
            self.wanted = wanted.map(|(source, upstream)| WantedDocument {
                source: source.clone(),
                upstream: upstream.clone(),
                when: Rereading::new(source.every, now),
                tag: None,
                named: None,
                told: None,
            });
        }
        self.last = Some(config);
    }
}

/// Is something against the upstream, or was there?
fn sight(upstream: &Upstream) -> RereadSight {
    let seen = health::sight(upstream, clock::instant());
    let well = match seen.breaker {
        BreakerSight::Closed | BreakerSight::Ramping | BreakerSight::HeldOpen => {
            seen.passing == seen.endpoints
        }
        BreakerSight::HalfOpen | BreakerSight::Open => false,
    };
    let broken =
        [BadReason::Connect, BadReason::Reset].map(|why| upstream.series.judged_as(Verdict::Bad(why)));
    RereadSight { broken: broken.iter().sum(), well }
}

async fn fetch(upstream: &Upstream, wanted: &WantedDocument) -> Fetched {
    let unreachable = |why: String| Fetched::Not(DocumentState::Unreachable, why);
    let Some(endpoint) = upstream.pick(&[], chance::draw(), clock::instant()) else {
        return unreachable("its upstream has no address".to_owned());
    };
    let mut fields = vec![("accept", "application/json")];
    fields.extend(wanted.tag.as_deref().map(|tag| ("if-none-match", tag)));
    // A byte more than may be, to see that it is too long.
    let read = Bound { bytes: MOST_BYTES + 1, within: PATIENCE };
    let get = SingleGet { path: &wanted.source.path, fields: &fields, read };
    match within(PATIENCE, Box::pin(single::look(upstream, &endpoint, Some(&get)))).await {
        Some(Ok(Some(answer))) => answered(answer, wanted.tag.is_some()),
        Some(Err(missed)) => unreachable(missed.told),
        Some(Ok(None)) | None => unreachable(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn answered(answer: HttpAnswer, conditional: bool) -> Fetched {
    match answer.head.status.as_u16() {
        304 if conditional => Fetched::Unchanged,
        200 => {
            let tag = answer.head.headers.get("etag").and_then(|tag| tag.to_str().ok());
            let tag = tag.filter(|tag| tag.len() <= MOST_TAG).map(str::to_owned);
            Fetched::Document { bytes: answer.body, tag }
        }
        status => Fetched::Not(DocumentState::Missing, format!("it is answered with status {status}")),
    }
}

impl WantedDocument {
    /// Does what came of asking: names, or a line of the log.
    async fn take(&mut self, registry: &Registry, fetched: Fetched) {
        let now = clock::instant();
        let before = registry.document();
        let mut view = before.unwrap_or_else(|| DocumentView::wanted(&self.source.path, self.source.every));
        view.asked = Some(now);
        let read = match fetched {
            Fetched::Unchanged => Ok(None),
            Fetched::Not(state, why) => Err((state, why)),
            Fetched::Document { bytes, tag } => self.read(bytes, tag).await,
        };
        match read {
            Ok(read) => {
                self.told = None;
                (view.state, view.says) = (DocumentState::Read, String::new());
                if let Some(read) = read {
                    view.unnamed = registry.name_routes(&read, now);
                    (view.read, view.operations) = (Some(now), read.operations.len());
                    (view.skipped, view.beyond) = (read.skipped, read.beyond);
                    tell_named(&view);
                }
            }
            Err(why) => {
                (view.state, view.says) = why.clone();
                // That nobody answers is told by whoever looks after the upstream.
                if why.0 != DocumentState::Unreachable && self.told.as_ref() != Some(&why) {
                    let named = registry.snapshot().application.operations.len();
                    ApplicationEvent::NotNamed { path: &view.path, why: &why.1, named }.tell();
                    self.told = Some(why);
                }
            }
        }
        registry.telemetry().application.read(view.state);
        registry.set_document(Some(view));
    }

    /// `None`: it is the very one that was read before.
    async fn read(
        &mut self,
        bytes: Vec<u8>,
        tag: Option<String>,
    ) -> Result<Option<Document>, (DocumentState, String)> {
        let hash = crate::config::reload::hash(&bytes);
        self.tag = None;
        if self.named == Some(hash) {
            self.tag = tag;
            return Ok(None);
        }
        let read = tasks::apart(move || document::read(&bytes)).await;
        match read {
            Some(Ok(document)) => {
                (self.tag, self.named) = (tag, Some(hash));
                Ok(Some(document))
            }
            Some(Err(error @ DocumentError::TooLong)) => Err((DocumentState::TooLarge, error.to_string())),
            Some(Err(error)) => Err((DocumentState::Broken, error.to_string())),
            None => Err((DocumentState::Broken, "there was no thread to read it".to_owned())),
        }
    }
}

fn tell_named(view: &DocumentView) {
    let DocumentView { path, operations, skipped, beyond, unnamed, .. } = view;
    ApplicationEvent::Named {
        path,
        named: operations.saturating_sub(*unnamed),
        skipped: *skipped,
        beyond: beyond + unnamed,
    }
    .tell();
}
