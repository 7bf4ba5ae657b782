//! API keys: who may call, without what would open anything. Callers are checked against the log, not against this view.

use domain::event::Event;
use domain::ids::{ApiKeyId, OperatorId};
use domain::key::KeyEvent;
use domain::log::Position;
use domain::time::Timestamp;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::value::word;

row! {
    /// An API key.
    pub struct ApiKeyRow in "api_keys" {
        key {
            /// Which.
            key_id: ApiKeyId,
        }
        /// Whose data it sees: the tenant.
        operator_id: OperatorId,
        /// What its bearer may do.
        role: String,
        /// A name for people.
        name: String,
        /// When it was made.
        created_at: Timestamp,
        /// When it stopped opening anything.
        revoked_at: Option<Timestamp>,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, created_at);
}

/// The projection of [`ApiKeyRow`].
#[derive(Debug)]
pub struct ApiKeys;

impl Keyed for ApiKeys {
    type Row = ApiKeyRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &["key.created", "key.revoked"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(ApiKeyId,)>, ProjectionError> {
        Ok(match moment.event() {
            Event::Key(KeyEvent::Created { key_id, .. } | KeyEvent::Revoked { key_id }) => vec![(*key_id,)],
            _ => vec![],
        })
    }

    fn evolve(key: &(ApiKeyId,), row: Option<ApiKeyRow>, moment: &Moment<'_>) -> Result<Option<ApiKeyRow>, ProjectionError> {
        let Event::Key(event) = moment.event() else { return Ok(row) };
        match event {
            KeyEvent::Created { key_id, operator_id, role, name, .. } => Ok(Some(ApiKeyRow {
                key_id: *key_id,
                operator_id: *operator_id,
                role: word(role),
                name: name.clone(),
                created_at: moment.occurred_at(),
                revoked_at: None,
                position: moment.position(),
            })),
            KeyEvent::Revoked { .. } => {
                let row = row.ok_or_else(|| ProjectionError::no_row(key))?;
                let revoked_at = row.revoked_at.or(Some(moment.occurred_at()));
                Ok(Some(ApiKeyRow { revoked_at, position: moment.position(), ..row }))
            }
        }
    }
}
