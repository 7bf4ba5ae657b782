//! Wallets: what is in them, what moved, and money back.

use std::sync::Arc;

use axum::extract::State;
use commands::CommandError;
use domain::ids::UserId;
use domain::log::StreamId;
use domain::wallet::Wallet;
use projections::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch, Limit, Params};
use crate::idempotency::Order;
use crate::problem::Problem;
use crate::reading::{Listed, Look, Narrow as _, Page, Shown};
use crate::rows::MovementRow;
use crate::wire::{PositiveYuan, Reason, Time, Yuan};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(one)).routes(routes!(statement)).routes(routes!(refund))
}

/// A wallet.
#[derive(Debug, Serialize, ToSchema)]
pub struct WalletAnswer {
    /// Whose.
    user_id: Uuid,
    /// All that is in it.
    balance_yuan: Yuan,
    /// What is held for sessions.
    held_yuan: Yuan,
    /// What a session may hold.
    available_yuan: Yuan,
    /// What can go back to the payments it came from.
    refundable_yuan: Yuan,
    /// What is on its way back.
    returning_yuan: Yuan,
    /// The revision of its stream; 0 before the first movement.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

fn answer(
    user_id: UserId,
    wallet: &Wallet,
    revision: Option<domain::log::Revision>,
    position: Option<domain::log::Position>,
) -> WalletAnswer {
    WalletAnswer {
        user_id: user_id.0,
        balance_yuan: Yuan(wallet.balance()),
        held_yuan: Yuan(wallet.held()),
        available_yuan: Yuan(wallet.available()),
        refundable_yuan: Yuan(wallet.refundable()),
        returning_yuan: Yuan(wallet.returning()),
        revision: revision.unwrap_or_default().0,
        position: position.map(|position| position.0),
    }
}

/// A wallet
///
/// As the ledger itself knows it at this moment, not as a read model does.
#[utoipa::path(get, path = "/v1/wallets/{user_id}", operation_id = "wallet", tag = "wallets", params(("user_id" = Uuid, Path, description = "Whose.")),
    responses((status = 200, description = "What is in it.", body = WalletAnswer)))]
async fn one(State(api): State<Arc<Api>>, Id(user_id): Id<UserId>, look: Look) -> Result<Shown, Problem> {
    api.commands.owned("user", &StreamId::user(user_id), look.operator_id()).await?;
    let loaded = api.commands.ledger.load::<Wallet>(&StreamId::wallet(user_id)).await.map_err(CommandError::from)?;
    Ok(look.shown(answer(user_id, &loaded.state, loaded.revision, None)))
}

/// Which movements.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MovementParams {
    /// From this time on.
    #[param(inline)]
    from_at: Option<Time>,
    /// Before this time.
    #[param(inline)]
    until_at: Option<Time>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// What moved in a wallet
#[utoipa::path(get, path = "/v1/wallets/{user_id}/statement", operation_id = "walletStatement", tag = "wallets",
    params(("user_id" = Uuid, Path, description = "Whose."), MovementParams), extensions(("x-read-model" = json!("wallet_statement"))),
    responses((status = 200, description = "The latest first.", body = Page<MovementRow>)))]
async fn statement(
    State(api): State<Arc<Api>>,
    Id(user_id): Id<UserId>,
    look: Look,
    Params(params): Params<MovementParams>,
) -> Result<Listed, Problem> {
    api.commands.owned("user", &StreamId::user(user_id), look.operator_id()).await?;
    let query = Query::of("wallet_statement", look.operator_id())
        .by_id("user_id", Some(user_id.0))
        .since_at("occurred_at", params.from_at)
        .until_at("occurred_at", params.until_at)
        .latest("position");
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// Money to come out of a wallet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WalletRefundBody {
    /// How much.
    amount_yuan: PositiveYuan,
    /// Why; the payer sees it.
    reason: Option<Reason>,
}

/// Give money back out of a wallet
///
/// To the payments that it came from, the oldest first.
#[utoipa::path(post, path = "/v1/wallets/{user_id}/refunds", operation_id = "refundWallet", tag = "wallets", request_body = WalletRefundBody,
    params(("user_id" = Uuid, Path, description = "Whose.")),
    responses((status = 202, description = "It is on its way.", body = WalletAnswer)))]
async fn refund(
    State(api): State<Arc<Api>>,
    Id(user_id): Id<UserId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<WalletRefundBody>,
) -> Result<Answer<WalletAnswer>, Problem> {
    api.commands.owned("user", &StreamId::user(user_id), asker.operator_id()).await?;
    let wallet = api.commands.ledger.load::<Wallet>(&StreamId::wallet(user_id)).await.map_err(CommandError::from)?;
    let ids = precondition.tie(ids, wallet.revision)?;
    let done = api.commands.refund_wallet(&asker.caller, &ids, user_id, body.amount_yuan.0, body.reason.map(|reason| reason.0)).await?;
    let answer = answer(user_id, &done.state, done.revision, done.position);
    Ok(Answer::accepted(&format!("/v1/wallets/{user_id}"), answer).revision(done.revision).position(done.position))
}
