//! Users. Their personal data is sealed before it comes near the log.

use domain::ids::{CommandId, OperatorId, UserId};
use domain::log::StreamId;
use domain::sealed::{LookupHash, Sealed};
use domain::user::{User, UserCommand, UserError};

use crate::Commands;
use crate::error::CommandError;
use crate::handle::Done;
use crate::request::{Caller, RequestIds};
use crate::seal;

/// What a person tells of themselves.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PersonalData {
    /// The phone number.
    pub phone: Option<String>,
    /// The real name.
    pub name: Option<String>,
    /// The licence plate.
    pub plate: Option<String>,
}

impl std::fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonalData(…)")
    }
}

impl Commands {
    /// Registers a driver.
    ///
    /// # Errors
    /// When the phone number is another user's, or none.
    pub async fn register_user(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        user_id: UserId,
        data: PersonalData,
    ) -> Result<Done<User>, CommandError> {
        let phone = data.phone.as_deref().ok_or(CommandError::PersonalData { what: "phone", reason: "it is missing" })?;
        let command_id = ids.command("register user");
        let stream = StreamId::user(user_id);
        // A repetition makes no key and no entry: the person may have been erased since, and their number may be somebody's.
        if let Some(done) = self.ledger.done_before::<User>(&stream, command_id).await? {
            return Ok(done);
        }
        self.ledger.load::<User>(&stream).await?.state.absent()?;
        let (phone, phone_lookup) = self.sealed_phone(caller.operator_id, user_id, command_id, phone).await?;
        let name = self.sealed(user_id, command_id, "name", data.name.as_deref()).await?;
        let plate = self.sealed(user_id, command_id, "plate", data.plate.as_deref()).await?;
        self.must_not_be_erased(&stream, user_id).await?;
        let command = UserCommand::Register { user_id, phone, phone_lookup, name, plate };
        Ok(self.ledger.handle::<User>(&stream, command, &caller.envelope(command_id, user_id.0)).await?)
    }

    /// Changes personal data; what is not given stays.
    ///
    /// # Errors
    /// When there is no such user, or the phone number is another's.
    pub async fn change_user(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        user_id: UserId,
        data: PersonalData,
    ) -> Result<Done<User>, CommandError> {
        let stream = StreamId::user(user_id);
        self.owned("user", &stream, caller.operator_id).await?;
        self.ledger.load::<User>(&stream).await?.state.active()?;
        let command_id = ids.command("change user");
        self.must_be_meant(ids, &stream, command_id).await?;
        let phone = match data.phone.as_deref() {
            Some(phone) => Some(self.sealed_phone(caller.operator_id, user_id, command_id, phone).await?),
            None => None,
        };
        let name = self.sealed(user_id, command_id, "name", data.name.as_deref()).await?;
        let plate = self.sealed(user_id, command_id, "plate", data.plate.as_deref()).await?;
        self.must_not_be_erased(&stream, user_id).await?;
        let envelope = caller.envelope(command_id, user_id.0);
        Ok(self.ledger.handle_at::<User>(&stream, UserCommand::Change { phone, name, plate }, &envelope, ids.revision()).await?)
    }

    /// Closes an account: nothing new may be started.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn close_user(&self, caller: &Caller, ids: &RequestIds, user_id: UserId) -> Result<Done<User>, CommandError> {
        let stream = StreamId::user(user_id);
        self.owned("user", &stream, caller.operator_id).await?;
        let envelope = caller.envelope(ids.command("close user"), user_id.0);
        Ok(self.ledger.handle_at::<User>(&stream, UserCommand::Close, &envelope, ids.revision()).await?)
    }

    /// Destroys a user's key: what is sealed with it cannot be read any more, in the log, in every backup of it and in every view. The sums stay.
    ///
    /// # Errors
    /// When there is no such user, or the key store cannot.
    pub async fn erase_user(&self, caller: &Caller, ids: &RequestIds, user_id: UserId) -> Result<Done<User>, CommandError> {
        let stream = StreamId::user(user_id);
        self.owned("user", &stream, caller.operator_id).await?;
        let command_id = ids.command("erase user");
        self.must_be_meant(ids, &stream, command_id).await?;
        // The key goes first: an event that says so must never be a promise.
        self.subjects.destroy(user_id).await?;
        let envelope = caller.envelope(command_id, user_id.0);
        let done = self.ledger.handle_at::<User>(&stream, UserCommand::Erase, &envelope, ids.revision()).await?;
        // What a change made between the two goes, too; whoever comes after this sees that the user is erased.
        self.subjects.destroy(user_id).await?;
        Ok(done)
    }

    /// Asked once more after keys and entries were made: an erasure may have come before them, and must not be undone by them.
    async fn must_not_be_erased(&self, stream: &StreamId, user_id: UserId) -> Result<(), CommandError> {
        match self.ledger.load::<User>(stream).await?.state {
            User::Absent | User::Active { .. } | User::Closed { .. } => Ok(()),
            User::Erased { .. } => {
                self.subjects.destroy(user_id).await?;
                Err(UserError::Erased.into())
            }
        }
    }

    /// What is done to the key store is done before the stream is written: whether the request is meant for this revision is asked before that, too.
    async fn must_be_meant(&self, ids: &RequestIds, stream: &StreamId, command_id: CommandId) -> Result<(), CommandError> {
        let revision = self.ledger.load::<User>(stream).await?.revision;
        let is_meant = ids.revision().is_none() || revision == ids.revision() || self.ledger.has_done::<User>(stream, command_id).await?;
        if is_meant { Ok(()) } else { Err(CommandError::Moved { revision }) }
    }

    /// The operator's user with this phone number, if there is one.
    ///
    /// # Errors
    /// When the number is none, or the key store cannot.
    pub async fn find_user(&self, operator_id: OperatorId, phone: &str) -> Result<Option<UserId>, CommandError> {
        let lookup = self.lookup(operator_id, &normal_phone(phone)?).await?;
        Ok(self.subjects.find(&lookup).await?)
    }

    /// Opens a sealed field; none when the subject has been erased.
    ///
    /// # Errors
    /// When the key store cannot.
    pub async fn unseal(&self, user_id: UserId, sealed: &Sealed) -> Result<Option<String>, CommandError> {
        Ok(self.subjects.get(user_id).await?.and_then(|key| seal::open(&key, user_id, sealed)))
    }

    async fn sealed_phone(
        &self,
        operator_id: OperatorId,
        user_id: UserId,
        command_id: CommandId,
        phone: &str,
    ) -> Result<(Sealed, LookupHash), CommandError> {
        let phone = normal_phone(phone)?;
        let lookup = self.lookup(operator_id, &phone).await?;
        self.subjects.claim(&lookup, user_id).await?;
        let sealed = self.sealed(user_id, command_id, "phone", Some(&phone)).await?;
        sealed.map(|sealed| (sealed, lookup)).ok_or(CommandError::PersonalData { what: "phone", reason: "it cannot be sealed" })
    }

    async fn sealed(
        &self,
        user_id: UserId,
        command_id: CommandId,
        what: &'static str,
        plain: Option<&str>,
    ) -> Result<Option<Sealed>, CommandError> {
        let Some(plain) = plain else { return Ok(None) };
        if plain.trim().is_empty() || plain.chars().count() > 64 {
            return Err(CommandError::PersonalData { what, reason: "it has 1 to 64 characters" });
        }
        let key = self.subjects.get_or_create(user_id, self.ledger.ids().secret()).await?;
        // The nonce derives from the key, the command and the field: the same command seals to the same bytes, and is recognised as the same.
        let nonce = seal::nonce(&key, command_id, what);
        Ok(seal::seal(&key, user_id, nonce, plain))
    }

    async fn lookup(&self, operator_id: OperatorId, value: &str) -> Result<LookupHash, CommandError> {
        let key = self.subjects.lookup_key(self.ledger.ids().secret()).await?;
        Ok(seal::lookup_hash(&key, operator_id, value))
    }
}

/// Digits, with a plus in front where there is one: `+86 138-0013-8000` and `+8613800138000` are one number. The one place that says what a phone number is.
///
/// # Errors
/// When it is none. The text is not repeated: whoever gets it may log it.
pub fn normal_phone(phone: &str) -> Result<String, CommandError> {
    let unfit = CommandError::PersonalData { what: "phone", reason: "it has 5 to 20 digits" };
    let normal: String = phone.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    let digits = normal.strip_prefix('+').unwrap_or(&normal);
    if (5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) { Ok(normal) } else { Err(unfit) }
}
