//! Rebuilding a read model on request: begun in this process, paused, gone on with and given up wherever it runs.
//!
//! These orders go to the read models' database and not to the ledger, so that they have no idempotency keys: of each name one rebuild runs, and a second order to
//! begin one is refused.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use domain::log::Position;
use projections::fold::Projection;
use projections::port::BuildState;
use projections::rebuild::port::{BuildStore, Job, Phase, Wanted, may_name_a_view_of_the_past};
use projections::rebuild::{Finish, Options, RebuildError, Rebuilder, position_at};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::info;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::answer::Answer;
use crate::asked::Segment;
use crate::auth::Asker;
use crate::builds::RebuildAnswer;
use crate::halts::unread;
use crate::idempotency::{Body, Nothing};
use crate::problem::{Kind, Problem};
use crate::rebuilding::{News, news_that};
use crate::wire::Time;

/// So long is waited for the first news of a rebuild.
const FIRST_NEWS: Duration = Duration::from_secs(5);
const MEGABYTE: usize = 1 << 20;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(rebuild)).routes(routes!(pause)).routes(routes!(resume)).routes(routes!(cancel))
}

/// What happens to a build that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishName {
    /// It takes its place by itself.
    Swap,
    /// It takes its place by itself only if nothing differs; else somebody has to agree.
    Approve,
    /// It stays beside the one that serves.
    Keep,
}

/// A position of the log, or a time.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Until {
    /// Every event up to this position.
    Position(u64),
    /// What was recorded by then.
    Time(Time),
}

/// How to rebuild. What is left out is as the server thinks best.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RebuildBody {
    /// Threads that read and threads that fold.
    #[schema(minimum = 1, maximum = 256)]
    cores: Option<u16>,
    /// How many rows it may write in a second, so that it does not starve what serves.
    #[schema(minimum = 1)]
    max_db_rows_per_s: Option<u64>,
    /// About how much memory its rows may take, in megabytes.
    #[schema(minimum = 16, maximum = 65_536)]
    memory_mb: Option<u32>,
    /// What happens when it is ready; where swaps need approval, `approve` or `keep`.
    finish: Option<FinishName>,
    /// Builds the view as it was then, for people to look at. Goes with `as`.
    until: Option<Until>,
    /// The name of the view of the past, in the database's schema `read`.
    #[schema(pattern = "^[a-z][a-z0-9_]{0,39}$")]
    r#as: Option<String>,
}

/// How to go on with a rebuild that nobody runs any more. One that still runs goes on as it was begun.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeBody {
    /// Threads that read and threads that fold.
    #[schema(minimum = 1, maximum = 256)]
    cores: Option<u16>,
    /// How many rows it may write in a second.
    #[schema(minimum = 1)]
    max_db_rows_per_s: Option<u64>,
    /// About how much memory its rows may take, in megabytes.
    #[schema(minimum = 16, maximum = 65_536)]
    memory_mb: Option<u32>,
    /// What happens when it is ready.
    finish: Option<FinishName>,
}

/// A rebuild, as it is after the order.
#[derive(Debug, Serialize, ToSchema)]
pub struct RebuildOrdered {
    /// The read model, or the view of the past.
    name: String,
    /// How far it is; none when nothing has been heard of it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuild: Option<RebuildAnswer>,
}

impl RebuildOrdered {
    fn of(job: &Job) -> RebuildOrdered {
        RebuildOrdered { name: job.name.clone(), rebuild: Some(job.into()) }
    }
}

/// Rebuild a read model while it serves
///
/// It runs in this process, in the background: `GET /v1/projections/{name}` shows how far it is. A rebuild that was interrupted is gone on with. With `until` and
/// `as` a view of the past is made instead, beside the one that serves.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild", operation_id = "rebuildProjection", tag = "projections", request_body = Option<RebuildBody>,
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$")),
    responses((status = 202, description = "It is under way.", body = RebuildOrdered)))]
async fn rebuild(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    asker: Asker,
    Body(body): Body<RebuildBody>,
) -> Result<Answer<RebuildOrdered>, Problem> {
    let projection = projection(&name)?;
    let options = options(&api, body.cores, body.max_db_rows_per_s, body.memory_mb, body.finish)?;
    let work = match (body.until, body.r#as) {
        (None, None) => Work::Anew,
        (Some(until), Some(view)) => Work::Past { view: view_name(view)?, until: position(&api, until).await? },
        (Some(_), None) | (None, Some(_)) => {
            return Err(Problem::new(Kind::InvalidBody, "`until` and `as` go together: a view of the past has a name of its own"));
        }
    };
    begin(&api, &asker, projection, work, options).await
}

/// Let a rebuild stand still
///
/// It keeps what it has, and notices within a second, in whichever process it runs.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild/pause", operation_id = "pauseRebuild", tag = "projections", request_body = Option<Nothing>,
    params(("name" = String, Path, description = "The name of the read model, or of the view of the past.", pattern = "^[a-z][a-z0-9_]{0,39}$")),
    responses((status = 200, description = "It will stand still.", body = RebuildOrdered)))]
async fn pause(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    asker: Asker,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Answer<RebuildOrdered>, Problem> {
    let store = store(&api)?;
    let job = unfinished(&*store, &name).await?;
    if job.phase == Phase::AwaitingApproval || !runs(&api, &*store, &name).await? {
        return Err(Problem::new(Kind::RebuildNotRunning, format!("nobody works on the rebuild of {name}")));
    }
    store.want(&name, Wanted::Pause).await.map_err(unread)?;
    info!(projection = name, key = %asker.principal.key_id, "a rebuild is paused by request");
    Ok(Answer::ok(RebuildOrdered::of(&Job { wanted: Wanted::Pause, ..job })))
}

/// Let a rebuild go on
///
/// One that stands still goes on where it runs; one whose process has ended, or that failed, is gone on with here, from its last durable point.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild/resume", operation_id = "resumeRebuild", tag = "projections", request_body = Option<ResumeBody>,
    params(("name" = String, Path, description = "The name of the read model, or of the view of the past.", pattern = "^[a-z][a-z0-9_]{0,39}$")),
    responses((status = 202, description = "It goes on.", body = RebuildOrdered)))]
async fn resume(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    asker: Asker,
    Body(body): Body<ResumeBody>,
) -> Result<Answer<RebuildOrdered>, Problem> {
    let store = store(&api)?;
    let options = options(&api, body.cores, body.max_db_rows_per_s, body.memory_mb, body.finish)?;
    let job = unfinished(&*store, &name).await?;
    if job.phase == Phase::AwaitingApproval {
        return Err(Problem::new(Kind::RebuildNotRunning, format!("the rebuild of {name} is done and waits to be swapped in")));
    }
    if runs(&api, &*store, &name).await? {
        store.want(&name, Wanted::Run).await.map_err(unread)?;
        let location = location(&name);
        return Ok(Answer::accepted(&location, RebuildOrdered::of(&Job { wanted: Wanted::Run, ..job })));
    }
    let builds = store.builds().await.map_err(unread)?;
    let build = builds.into_iter().find(|build| build.name == job.name && build.number == job.number);
    let build = build.ok_or_else(|| Problem::new(Kind::RebuildNotRunning, format!("the build of {name} is gone: begin another")))?;
    let work = match build.state {
        BuildState::AsOf => Work::Past { view: name, until: job.until },
        BuildState::Filling | BuildState::Serving | BuildState::Retired => Work::Anew,
    };
    begin(&api, &asker, projection(&build.projection)?, work, options).await
}

/// Give a rebuild up
///
/// The build that serves stays as it is; what was filled beside it is dropped.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild/cancel", operation_id = "cancelRebuild", tag = "projections", request_body = Option<Nothing>,
    params(("name" = String, Path, description = "The name of the read model, or of the view of the past.", pattern = "^[a-z][a-z0-9_]{0,39}$")),
    responses((status = 200, description = "It ends.", body = RebuildOrdered)))]
async fn cancel(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    asker: Asker,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Answer<RebuildOrdered>, Problem> {
    let store = store(&api)?;
    let job = unfinished(&*store, &name).await?;
    info!(projection = name, key = %asker.principal.key_id, "a rebuild is cancelled by request");
    if runs(&api, &*store, &name).await? {
        store.want(&name, Wanted::Cancel).await.map_err(unread)?;
        return Ok(Answer::ok(RebuildOrdered::of(&Job { wanted: Wanted::Cancel, ..job })));
    }
    // Nobody is there to hear it.
    let builds = store.builds().await.map_err(unread)?;
    if let Some(build) = builds.iter().find(|build| build.name == job.name && build.number == job.number) {
        store.drop_build(build).await.map_err(unread)?;
    }
    let cancelled = Job { phase: Phase::Cancelled, wanted: Wanted::Cancel, ..job };
    store.note(&cancelled).await.map_err(unread)?;
    Ok(Answer::ok(RebuildOrdered::of(&cancelled)))
}

/// What a rebuild makes.
enum Work {
    /// The view anew.
    Anew,
    /// As it was.
    Past { view: String, until: Position },
}

async fn begin(
    api: &Api,
    asker: &Asker,
    projection: Arc<dyn Projection>,
    work: Work,
    options: Options,
) -> Result<Answer<RebuildOrdered>, Problem> {
    let store = store(api)?;
    let name = match &work {
        Work::Anew => projection.definition().name.to_owned(),
        Work::Past { view, .. } => view.clone(),
    };
    let busy = || RebuildError::Busy { name: name.clone() };
    if runs(api, &*store, &name).await? {
        return Err(busy().into());
    }
    let (log, by) = (api.commands.ledger.store().clone(), asked_by(asker));
    let begun = api.rebuilding.start(&name, |watcher| {
        let rebuilder = Rebuilder::new(log, store.clone(), options, watcher);
        async move {
            match work {
                Work::Anew => {
                    let name = projection.definition().name.to_owned();
                    let rebuilt = rebuilder.rebuild(vec![projection], &by).await?.pop();
                    rebuilt.unwrap_or(Err(RebuildError::Cancelled { name }))
                }
                Work::Past { view, until } => rebuilder.rebuild_as_of(projection, until, &view, &by).await,
            }
        }
    });
    let news = begun.ok_or_else(busy)?;
    info!(projection = name, key = %asker.principal.key_id, "a rebuild begins by request");
    let rebuild = first_news(news).await?.as_ref().map(RebuildAnswer::from);
    let place = location(&name);
    Ok(Answer::accepted(&place, RebuildOrdered { name, rebuild }))
}

async fn first_news(news: watch::Receiver<News>) -> Result<Option<Job>, Problem> {
    match news_that(news, FIRST_NEWS, |news| !matches!(news, News::Begun)).await {
        News::Begun => Ok(None),
        News::UnderWay(job) => Ok(Some(*job)),
        News::Ended(ended) => Ok(Some((*ended)?)),
    }
}

/// Whether somebody works on it, here or in another process.
pub(crate) async fn runs(api: &Api, store: &dyn BuildStore, name: &str) -> Result<bool, Problem> {
    // Whoever works on it has the right to; asking for it and giving it back at once tells.
    Ok(api.rebuilding.runs(name) || store.lease(name).await.map_err(unread)?.is_none())
}

pub(crate) fn store(api: &Api) -> Result<Arc<dyn BuildStore>, Problem> {
    api.builds.clone().ok_or_else(|| Problem::bare(Kind::ReadModelsUnavailable))
}

pub(crate) fn projection(name: &str) -> Result<Arc<dyn Projection>, Problem> {
    let found = projections::all().into_iter().find(|projection| projection.definition().name == name);
    found.ok_or_else(|| Problem::not_found("projection", name))
}

pub(crate) fn asked_by(asker: &Asker) -> String {
    format!("key/{}", asker.principal.key_id)
}

/// The newest rebuild of a name, if it has not come to its end.
async fn unfinished(store: &dyn BuildStore, name: &str) -> Result<Job, Problem> {
    let newest = store.jobs().await.map_err(unread)?.into_iter().find(|job| job.name == name);
    newest.filter(|job| !job.phase.is_over()).ok_or_else(|| Problem::new(Kind::RebuildNotRunning, format!("{name} is not being rebuilt")))
}

fn options(
    api: &Api,
    cores: Option<u16>,
    db_rows_per_s_max: Option<u64>,
    memory_mb: Option<u32>,
    finish: Option<FinishName>,
) -> Result<Options, Problem> {
    let unfit = |what: &str| Err(Problem::new(Kind::InvalidBody, what));
    let usual = Options::default();
    let finish = match (finish, api.swap_approval) {
        (Some(FinishName::Swap), true) => return unfit("swaps need approval here: finish is approve or keep"),
        (Some(FinishName::Approve), _) | (None, true) => Finish::Approve,
        (Some(FinishName::Swap), false) | (None, false) => Finish::Swap,
        (Some(FinishName::Keep), _) => Finish::Keep,
    };
    if cores.is_some_and(|cores| !(1..=256).contains(&cores)) {
        return unfit("cores is a number from 1 to 256");
    }
    if db_rows_per_s_max == Some(0) {
        return unfit("max_db_rows_per_s is 1 or more");
    }
    if memory_mb.is_some_and(|memory| !(16..=65_536).contains(&memory)) {
        return unfit("memory_mb is a number from 16 to 65536");
    }
    let memory_bytes = memory_mb.and_then(|memory| usize::try_from(memory).ok()).map_or(usual.memory_bytes, |memory| memory * MEGABYTE);
    Ok(Options { cores: cores.map_or(usual.cores, usize::from), memory_bytes, db_rows_per_s_max, finish, ..usual })
}

/// A view of the past has a name that no read model has.
fn view_name(name: String) -> Result<String, Problem> {
    if may_name_a_view_of_the_past(&name) {
        return Ok(name);
    }
    let wanted = "`as` has up to 40 small letters, digits and single _, begins with a letter, and is no read model's name";
    Err(Problem::new(Kind::InvalidBody, wanted))
}

async fn position(api: &Api, until: Until) -> Result<Position, Problem> {
    let log = api.commands.ledger.store();
    let head = log.head().await?.position;
    match until {
        Until::Position(0) => Err(Problem::new(Kind::InvalidBody, "the first position is 1")),
        Until::Position(position) if position > head.0 => {
            Err(Problem::new(Kind::PositionAhead, format!("the ledger's last position is {head}")))
        }
        Until::Position(position) => Ok(Position(position)),
        Until::Time(Time(time)) => match position_at(log.as_ref(), time).await? {
            Position(0) => Err(Problem::new(Kind::InvalidBody, "nothing had been recorded by then")),
            position => Ok(position),
        },
    }
}

/// Where to look: at the read model, or for a view of the past in the list of all.
fn location(name: &str) -> String {
    match projections::definition(name) {
        Some(_) => format!("/v1/projections/{name}"),
        None => "/v1/projections".to_owned(),
    }
}
