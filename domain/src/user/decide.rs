//! What can be asked of a user's account, and what it refuses.

use super::UserEvent;
use crate::Decider;
use crate::event::Event;
use crate::ids::UserId;
use crate::sealed::{LookupHash, Sealed};

/// A user's account. What is personal is not in the state: no decision asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum User {
    /// Not registered.
    #[default]
    Absent,
    /// May charge and pay.
    Active {
        /// Which.
        user_id: UserId,
    },
    /// Nothing new may be started; what is open is still settled.
    Closed {
        /// Which.
        user_id: UserId,
    },
    /// Closed, and nothing about the person can be read any more.
    Erased {
        /// Which.
        user_id: UserId,
    },
}

/// What somebody asks of a user's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserCommand {
    /// A driver joins. Sealing is never the same twice, so a second registration cannot be compared with the first and is refused.
    Register {
        /// Which.
        user_id: UserId,
        /// The phone number.
        phone: Sealed,
        /// Its keyed hash.
        phone_lookup: LookupHash,
        /// The real name.
        name: Option<Sealed>,
        /// The licence plate.
        plate: Option<Sealed>,
    },
    /// Change personal data; `None` leaves a field as it is.
    Change {
        /// The new phone number and its keyed hash.
        phone: Option<(Sealed, LookupHash)>,
        /// The new name.
        name: Option<Sealed>,
        /// The new plate.
        plate: Option<Sealed>,
    },
    /// Let nothing new be started.
    Close,
    /// Record that the subject's key is destroyed. Closes the account, too.
    Erase,
}

/// Why a user's account refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// It was never registered.
    #[error("the user is not registered")]
    Absent,
    /// It is registered.
    #[error("the user is already registered")]
    AlreadyRegistered,
    /// Nothing new may be started or changed.
    #[error("the user's account is closed")]
    Closed,
    /// The person asked to be forgotten; new personal data would undo it.
    #[error("the user has been erased")]
    Erased,
}

impl User {
    /// Whether somebody may join under this id.
    ///
    /// # Errors
    /// When somebody has.
    pub const fn absent(&self) -> Result<(), UserError> {
        match self {
            User::Absent => Ok(()),
            User::Active { .. } | User::Closed { .. } => Err(UserError::AlreadyRegistered),
            User::Erased { .. } => Err(UserError::Erased),
        }
    }

    /// Whether something new may be started.
    ///
    /// # Errors
    /// When the account is absent, closed or erased.
    pub const fn active(&self) -> Result<UserId, UserError> {
        match self {
            User::Absent => Err(UserError::Absent),
            User::Active { user_id } => Ok(*user_id),
            User::Closed { .. } => Err(UserError::Closed),
            User::Erased { .. } => Err(UserError::Erased),
        }
    }
}

impl Decider for User {
    type Command = UserCommand;
    type Event = UserEvent;
    type Error = UserError;

    fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserError> {
        match command {
            UserCommand::Register { user_id, phone, phone_lookup, name, plate } => {
                self.absent()?;
                Ok(vec![UserEvent::Registered { user_id, phone, phone_lookup, name, plate }])
            }
            UserCommand::Change { phone, name, plate } => {
                let user_id = self.active()?;
                if phone.is_none() && name.is_none() && plate.is_none() {
                    return Ok(vec![]);
                }
                Ok(vec![UserEvent::Changed { user_id, phone, name, plate }])
            }
            UserCommand::Close => match self {
                User::Absent => Err(UserError::Absent),
                User::Active { user_id } => Ok(vec![UserEvent::Closed { user_id: *user_id }]),
                User::Closed { .. } | User::Erased { .. } => Ok(vec![]),
            },
            UserCommand::Erase => match self {
                User::Absent => Err(UserError::Absent),
                User::Active { user_id } | User::Closed { user_id } => Ok(vec![UserEvent::Erased { user_id: *user_id }]),
                User::Erased { .. } => Ok(vec![]),
            },
        }
    }

    fn evolve(self, event: &UserEvent) -> User {
        match *event {
            UserEvent::Registered { user_id, .. } => User::Active { user_id },
            UserEvent::Changed { .. } => self,
            UserEvent::Closed { user_id } => User::Closed { user_id },
            UserEvent::Erased { user_id } => User::Erased { user_id },
        }
    }

    fn event(event: &Event) -> Option<&UserEvent> {
        if let Event::User(event) = event { Some(event) } else { None }
    }
}
