//! Users: drivers, with their personal fields as sealed as the events have them. An erased user keeps the row and nothing personal.

use domain::event::Event;
use domain::ids::{OperatorId, UserId};
use domain::log::{Position, Revision};
use domain::sealed::Sealed;
use domain::time::Timestamp;
use domain::user::UserEvent;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::value::words;

words! {
    /// What a user can do.
    pub enum UserStatus {
        /// Everything.
        Active => "active",
        /// Start nothing new.
        Closed => "closed",
        /// Nothing: the personal data is gone for ever.
        Erased => "erased",
    }
}

row! {
    /// A driver (车主).
    pub struct UserRow in "users" {
        key {
            /// Which.
            user_id: UserId,
        }
        /// With whom: the tenant.
        operator_id: OperatorId,
        /// What the user can do.
        status: UserStatus,
        /// The phone number, sealed.
        phone_sealed: Option<String>,
        /// The phone number's keyed hash, to look it up.
        phone_lookup: Option<String>,
        /// The real name, sealed.
        name_sealed: Option<String>,
        /// The licence plate, sealed.
        plate_sealed: Option<String>,
        /// When the user joined.
        registered_at: Timestamp,
        /// When any of this last changed.
        updated_at: Timestamp,
        /// Whether a generator of sample data made the user up.
        generated: bool,
        /// The revision of the stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, phone_lookup);
    index(operator_id, registered_at);
}

/// The projection of [`UserRow`].
#[derive(Debug)]
pub struct Users;

impl Keyed for Users {
    type Row = UserRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &["user.registered", "user.changed", "user.closed", "user.erased"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(UserId,)>, ProjectionError> {
        let Event::User(event) = moment.event() else { return Ok(Vec::new()) };
        let id = match event {
            UserEvent::Registered { user_id, .. }
            | UserEvent::Changed { user_id, .. }
            | UserEvent::Closed { user_id }
            | UserEvent::Erased { user_id } => *user_id,
        };
        Ok(vec![(id,)])
    }

    fn evolve(key: &(UserId,), row: Option<UserRow>, moment: &Moment<'_>) -> Result<Option<UserRow>, ProjectionError> {
        let Event::User(event) = moment.event() else { return Ok(row) };
        let text = |sealed: &Sealed| sealed.sealed.clone();
        let missing = || ProjectionError::no_row(key);
        let mut row = match event {
            UserEvent::Registered { user_id, phone, phone_lookup, name, plate } => UserRow {
                user_id: *user_id,
                operator_id: moment.operator_id(),
                status: UserStatus::Active,
                phone_sealed: Some(text(phone)),
                phone_lookup: Some(phone_lookup.0.clone()),
                name_sealed: name.as_ref().map(text),
                plate_sealed: plate.as_ref().map(text),
                registered_at: moment.occurred_at(),
                updated_at: moment.occurred_at(),
                generated: moment.generated(),
                revision: moment.recorded.revision,
                position: moment.position(),
            },
            UserEvent::Changed { phone, name, plate, .. } => {
                let mut row = row.ok_or_else(missing)?;
                if let Some((sealed, lookup)) = phone {
                    row.phone_sealed = Some(text(sealed));
                    row.phone_lookup = Some(lookup.0.clone());
                }
                row.name_sealed = name.as_ref().map(text).or(row.name_sealed);
                row.plate_sealed = plate.as_ref().map(text).or(row.plate_sealed);
                row
            }
            UserEvent::Closed { .. } => UserRow { status: UserStatus::Closed, ..row.ok_or_else(missing)? },
            UserEvent::Erased { .. } => UserRow {
                status: UserStatus::Erased,
                phone_sealed: None,
                phone_lookup: None,
                name_sealed: None,
                plate_sealed: None,
                ..row.ok_or_else(missing)?
            },
        };
        row.updated_at = moment.occurred_at();
        row.revision = moment.recorded.revision;
        row.position = moment.position();
        Ok(Some(row))
    }
}
