//! What staff decide about a payment whose money belongs to nothing, or of which its channel has reported contradictions.

use std::sync::Arc;

use axum::extract::State;
use commands::handle::Loaded;
use commands::payment::Disposal;
use domain::ids::PaymentId;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch};
use crate::idempotency::Order;
use crate::payments::PaymentAnswer;
use crate::problem::Problem;
use crate::wire::{Reason, TransactionNumber};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(resolve))
}

/// What is to become of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "resolution", rename_all = "snake_case", deny_unknown_fields)]
pub enum ResolveBody {
    /// All that is left of a receipt goes back to the payer, through its channel.
    Return {
        /// The channel's own number of the receipt.
        channel_transaction: TransactionNumber,
        /// Why; the payer sees it.
        note: Reason,
    },
    /// All that is left of a receipt becomes the user's prepayment: it goes into the wallet.
    Apply {
        /// The channel's own number of the receipt.
        channel_transaction: TransactionNumber,
        /// Why, for whoever asks later.
        note: Reason,
    },
    /// What the channel has reported in contradiction has been looked into: nothing is booked.
    Dismiss {
        /// What came of it, for whoever asks later.
        note: Reason,
    },
}

/// Decide about money that belongs to nothing, or about contradictions
///
/// A receipt that came late and that its channel would not take back, or one of another amount than was agreed: it goes back to the payer, or into the user's wallet. A
/// contradiction for which nothing is to be booked is closed.
#[utoipa::path(post, path = "/v1/payments/{payment_no}/resolve", operation_id = "resolvePayment", tag = "payments", request_body = ResolveBody,
    params(("payment_no" = Uuid, Path, description = "Its id, or its number at the channel.")),
    responses((status = 200, description = "It is decided; money that goes back is under way.", body = PaymentAnswer)))]
async fn resolve(
    State(api): State<Arc<Api>>,
    Id(payment_id): Id<PaymentId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<ResolveBody>,
) -> Result<Answer<PaymentAnswer>, Problem> {
    let ids = precondition.tie(ids, api.commands.payment(&asker.caller, payment_id).await?.revision)?;
    let by = &asker.caller;
    let done = match body {
        ResolveBody::Return { channel_transaction, note } => {
            api.commands.resolve_receipt(by, &ids, payment_id, channel_transaction.0, Disposal::Return, note.0).await?
        }
        ResolveBody::Apply { channel_transaction, note } => {
            api.commands.resolve_receipt(by, &ids, payment_id, channel_transaction.0, Disposal::Apply, note.0).await?
        }
        ResolveBody::Dismiss { note } => api.commands.close_disputes(by, &ids, payment_id, note.0).await?,
    };
    PaymentAnswer::answer(&Loaded { state: done.state, revision: done.revision }, done.position)
}
