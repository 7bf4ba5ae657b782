//! What becomes of builds: compared, put behind their view, gone back to, dropped; and one row put right.
//!
//! An order that may be repeated after its answer got lost names its build: what is so already is answered as done, and nothing is swapped to and fro.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use commands::RequestIds;
use commands::projection::Compared;
use domain::log::Position;
use projections::port::{Build, BuildState};
use projections::rebuild::port::{BuildStore, Job, Phase};
use projections::rebuild::{Options, RebuildError, Rebuilder, Watcher};
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Params, Segment};
use crate::auth::Asker;
use crate::builds::{DiffAnswer, RebuildAnswer, RepairAnswer};
use crate::halts::{serving, unread};
use crate::idempotency::Body;
use crate::problem::{Kind, Problem};
use crate::reading::{Look, Shown};
use crate::rebuilding::{News, news_that};
use crate::rebuilds::{projection, runs, store};
use crate::wire::Note;

/// So long is waited for a swap; it goes on after that.
const SWAP_WAIT: Duration = Duration::from_secs(20);

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(swap))
        .routes(routes!(roll_back))
        .routes(routes!(diff))
        .routes(routes!(repair))
        .routes(routes!(drop_build))
}

/// A build that is to take its place.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwapBody {
    /// Which one, to be sure that it is the one that was looked at. Without it: the newest that waits.
    build: Option<i64>,
    /// Why the difference is right. Required where swaps need approval; with it, the approval is an event of the ledger.
    note: Option<Note>,
}

/// The build to go back to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBackBody {
    /// Which one. Without it: the newest that is kept.
    build: Option<i64>,
}

/// A build behind its view.
#[derive(Debug, Serialize, ToSchema)]
pub struct SwapAnswer {
    /// The read model.
    projection: String,
    /// The build.
    build: i64,
    /// Whether it serves already; else it still catches up, and takes its place then.
    serves: bool,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuild: Option<RebuildAnswer>,
}

/// A row to fold again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepairBody {
    /// The cells of its key, in the key's order, with commas between.
    #[schema(min_length = 1, max_length = 500)]
    key: String,
    /// Only shows what is wrong.
    #[serde(default)]
    dry_run: bool,
}

/// A build that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct DroppedAnswer {
    /// Its name.
    name: String,
    /// Its number.
    number: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DiffQuery {
    /// The number of another build; the one that serves is compared with it.
    against: Option<i64>,
    /// The name of a view of the past; the build that serves is compared with it.
    as_of: Option<String>,
}

/// The name and the number of a build in the path.
struct Numbered(String, i64);

impl FromRequestParts<Arc<Api>> for Numbered {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Numbered, Problem> {
        let unfit = |_| Problem::new(Kind::InvalidId, "a build is a name and a number");
        let Path((name, number)) = Path::<(String, i64)>::from_request_parts(parts, api).await.map_err(unfit)?;
        Ok(Numbered(name, number))
    }
}

/// Put a rebuilt build behind its view
///
/// It catches up, is accounted for, and takes its place in one transaction; the one before it is kept for the way back. Where swaps need approval, the note is
/// required, and written down with what differed.
#[utoipa::path(post, path = "/v1/projections/{name}/swap", operation_id = "swapBuild", tag = "projections", request_body = Option<SwapBody>,
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$")),
    responses((status = 200, description = "It serves.", body = SwapAnswer), (status = 202, description = "It still catches up.", body = SwapAnswer)))]
async fn swap(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    asker: Asker,
    Body(body): Body<SwapBody>,
) -> Result<Answer<SwapAnswer>, Problem> {
    projection(&name)?;
    let store = store(&api)?;
    let builds = store.builds().await.map_err(unread)?;
    let waits = |build: &Build| build.state == BuildState::Filling && build.position > Position(0);
    let build = match chosen(&builds, &name, body.build, waits, "no rebuilt build waits to be swapped in")? {
        Chosen::Serves(build) => return Ok(Answer::ok(SwapAnswer { projection: name, build, serves: true, rebuild: None })),
        Chosen::Waits(build) => build,
    };
    if body.note.is_none() && api.swap_approval {
        return Err(Problem::new(Kind::NoteMissing, "swaps need approval here: send a note that says why the difference is right"));
    }
    if runs(&api, &*store, &name).await? {
        return Err(RebuildError::Busy { name }.into());
    }
    let mut approved = None;
    if let Some(Note(note)) = body.note {
        let jobs = store.jobs().await.map_err(unread)?;
        let diff = jobs.into_iter().find(|job| job.name == name && job.number == build).and_then(|job| job.diff);
        let diff = diff.ok_or_else(|| Problem::new(Kind::NoSuchBuild, format!("build {build} of {name} has not been compared yet")))?;
        let ids = RequestIds::new(api.commands.ledger.ids().uuid());
        let compared = Compared { build: build.unsigned_abs(), position: diff.here_position, rows_differing: diff.rows_differing() };
        approved = api.commands.approve_swap(&asker.caller, &ids, &name, compared, note).await?.position;
    }
    info!(projection = name, build, key = %asker.principal.key_id, "a build is swapped in by request");
    let swapped = change_over(&api, store, name, build, Change::Swap).await?;
    Ok(swapped.position(approved))
}

/// Go back to the build that served before
///
/// One that this version of the fold fills is caught up first; one of another version is served as it was left. It stays until somebody swaps another one in.
#[utoipa::path(post, path = "/v1/projections/{name}/rollback", operation_id = "rollBackBuild", tag = "projections", request_body = Option<RollBackBody>,
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$")),
    responses((status = 200, description = "It serves.", body = SwapAnswer), (status = 202, description = "It still catches up.", body = SwapAnswer)))]
async fn roll_back(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    asker: Asker,
    Body(body): Body<RollBackBody>,
) -> Result<Answer<SwapAnswer>, Problem> {
    projection(&name)?;
    let store = store(&api)?;
    let builds = store.builds().await.map_err(unread)?;
    let is_kept = |build: &Build| build.state == BuildState::Retired;
    let build = match chosen(&builds, &name, body.build, is_kept, "no build that served before is kept")? {
        Chosen::Serves(build) => return Ok(Answer::ok(SwapAnswer { projection: name, build, serves: true, rebuild: None })),
        Chosen::Waits(build) => build,
    };
    if runs(&api, &*store, &name).await? {
        return Err(RebuildError::Busy { name }.into());
    }
    info!(projection = name, build, key = %asker.principal.key_id, "a view goes back to an earlier build by request");
    change_over(&api, store, name, build, Change::RollBack).await
}

/// How builds of a read model differ
///
/// Without a parameter: what its newest rebuild found, or else the build that serves and the one that is kept. Rows and sums are those of the key's operator; the
/// counts are of all.
#[utoipa::path(get, path = "/v1/projections/{name}/diff", operation_id = "diffBuilds", tag = "projections",
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$"), DiffQuery),
    responses((status = 200, description = "How they differ.", body = DiffAnswer)))]
async fn diff(State(api): State<Arc<Api>>, Segment(name): Segment, Params(query): Params<DiffQuery>, look: Look) -> Result<Shown, Problem> {
    let projection = projection(&name)?;
    let store = store(&api)?;
    let quiet: Watcher = Arc::new(|_: &Job| {});
    let rebuilder = Rebuilder::new(api.commands.ledger.store().clone(), store.clone(), Options::default(), quiet);
    let found = match (query.against, query.as_of) {
        (Some(_), Some(_)) => return Err(Problem::new(Kind::InvalidQuery, "against or as_of, not both")),
        (Some(number), None) => rebuilder.diff(projection, Some(number)).await?,
        (None, Some(view)) => rebuilder.diff_as_of(projection, &view).await?,
        (None, None) => match store.jobs().await.map_err(unread)?.into_iter().find(|job| job.name == name) {
            Some(Job { diff: Some(diff), .. }) => diff,
            Some(job) if !job.phase.is_over() => {
                return Err(Problem::new(Kind::NoSuchBuild, format!("the rebuild of {name} has not come to comparing yet")));
            }
            Some(_) | None => rebuilder.diff(projection, None).await?,
        },
    };
    Ok(look.shown(DiffAnswer::of(found, &look.operator_id().to_string())))
}

/// Fold one row again, and put it right
///
/// The row of one key is folded from its events, compared with the one that serves, and takes its place unless `dry_run` is asked for. Cells are shown when the
/// row is of the key's operator.
#[utoipa::path(post, path = "/v1/projections/{name}/repair", operation_id = "repairRow", tag = "projections", request_body = RepairBody,
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$")),
    responses((status = 200, description = "What was wrong.", body = RepairAnswer)))]
async fn repair(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    asker: Asker,
    Body(body): Body<RepairBody>,
) -> Result<Answer<RepairAnswer>, Problem> {
    let projection = projection(&name)?;
    let store = store(&api)?;
    let log = api.commands.ledger.store();
    let repaired = projections::rebuild::repair(log.as_ref(), &*store, projection, &body.key, !body.dry_run).await?;
    info!(projection = name, key = %asker.principal.key_id, written = repaired.written, "a row was folded again by request");
    Ok(Answer::ok(RepairAnswer::of(repaired, &asker.operator_id().to_string())))
}

/// Drop a build that does not serve
///
/// A view of the past, one that is kept for the way back, or one that nobody fills any more.
#[utoipa::path(delete, path = "/v1/projections/{name}/builds/{number}", operation_id = "dropBuild", tag = "projections",
    params(
        ("name" = String, Path, description = "The build's name: the read model's, or the view of the past's.", pattern = "^[a-z][a-z0-9_]{0,39}$"),
        ("number" = i64, Path, description = "Its number.", minimum = 1),
    ),
    responses((status = 200, description = "It is gone.", body = DroppedAnswer)))]
async fn drop_build(State(api): State<Arc<Api>>, Numbered(name, number): Numbered, asker: Asker) -> Result<Answer<DroppedAnswer>, Problem> {
    let store = store(&api)?;
    let builds = store.builds().await.map_err(unread)?;
    let found = builds.into_iter().find(|build| build.name == name && build.number == number);
    let build = found.ok_or_else(|| Problem::not_found("build", &format!("{number} of {name}")))?;
    if build.state == BuildState::Serving {
        return Err(Problem::new(Kind::BuildServes, format!("build {number} is behind the view {name}")));
    }
    let lease = match api.rebuilding.runs(&name) {
        true => None,
        false => store.lease(&name).await.map_err(unread)?,
    };
    let Some(_lease) = lease else { return Err(RebuildError::Busy { name }.into()) };
    store.drop_build(&build).await.map_err(unread)?;
    let jobs = store.jobs().await.map_err(unread)?;
    if let Some(job) = jobs.into_iter().find(|job| job.name == name && job.number == number && !job.phase.is_over()) {
        store.note(&Job { phase: Phase::Cancelled, ..job }).await.map_err(unread)?;
    }
    info!(projection = name, build = number, key = %asker.principal.key_id, "a build was dropped by request");
    Ok(Answer::ok(DroppedAnswer { name, number }))
}

/// Which way a view changes over.
#[derive(Debug, Clone, Copy)]
enum Change {
    Swap,
    RollBack,
}

enum Chosen {
    /// What is asked for is so already.
    Serves(i64),
    Waits(i64),
}

/// The newest build that is so, if it is the one that was asked for.
fn chosen(builds: &[Build], name: &str, asked: Option<i64>, is_so: impl Fn(&Build) -> bool, none: &str) -> Result<Chosen, Problem> {
    if let Some(build) = serving(builds, name).filter(|build| Some(build.number) == asked) {
        return Ok(Chosen::Serves(build.number));
    }
    let newest = builds.iter().filter(|build| build.name == name && is_so(build)).map(|build| build.number).max();
    match (newest, asked) {
        (Some(newest), asked) if asked.is_none_or(|asked| asked == newest) => Ok(Chosen::Waits(newest)),
        (Some(newest), _) => Err(Problem::new(Kind::NoSuchBuild, format!("{name}: it would be build {newest}"))),
        (None, _) => Err(Problem::new(Kind::NoSuchBuild, format!("{name}: {none}"))),
    }
}

/// Changes builds in the background, and waits for it a while.
async fn change_over(
    api: &Api,
    store: Arc<dyn BuildStore>,
    name: String,
    build: i64,
    change: Change,
) -> Result<Answer<SwapAnswer>, Problem> {
    let projection = projection(&name)?;
    let log = api.commands.ledger.store().clone();
    let begun = api.rebuilding.start(&name, |watcher| {
        let rebuilder = Rebuilder::new(log, store, Options::default(), watcher);
        async move {
            match change {
                Change::Swap => rebuilder.swap_in(projection).await,
                Change::RollBack => rebuilder.roll_back(projection).await,
            }
        }
    });
    let news = begun.ok_or_else(|| RebuildError::Busy { name: name.clone() })?;
    let of = |job: &Job, serves: bool| SwapAnswer { projection: name.clone(), build, serves, rebuild: Some(job.into()) };
    match news_that(news, SWAP_WAIT, |news| matches!(news, News::Ended(_))).await {
        News::Ended(ended) => Ok(Answer::ok(of(&(*ended)?, true))),
        News::UnderWay(job) => Ok(Answer::accepted(&format!("/v1/projections/{name}"), of(&job, false))),
        News::Begun => {
            let answer = SwapAnswer { projection: name.clone(), build, serves: false, rebuild: None };
            Ok(Answer::accepted(&format!("/v1/projections/{name}"), answer))
        }
    }
}
