//! The chart of accounts (科目表): the numbers of the national chart where it has one, and the detail that each is kept by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::ids::{OperatorId, UserId};
use crate::payment::Channel;
use crate::pricing::FeeKind;

/// Who owes us, or whom we owe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Customer {
    /// A user.
    User(UserId),
    /// The driver of a session that only a device knows of.
    Unknown,
}

impl From<Option<UserId>> for Customer {
    fn from(user: Option<UserId>) -> Customer {
        user.map_or(Customer::Unknown, Customer::User)
    }
}

/// What an account is part of, and so on which side it usually stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountClass {
    /// What we have: usually a debit.
    Asset,
    /// What we owe: usually a credit.
    Liability,
    /// What we earned: usually a credit.
    Revenue,
    /// What it cost: usually a debit.
    Expense,
}

/// An account. As text its code and, after a dot, its detail: `1012.sandbox`, `6001.energy`, `2241`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// 1002, money at the bank (银行存款).
    Bank,
    /// 1012, money at a channel (其他货币资金).
    ChannelClearing(Channel),
    /// 1122, what customers owe (应收账款).
    Receivable(Customer),
    /// 1221, what we and a channel do not agree on (其他应收款).
    ChannelDispute(Channel),
    /// 2202, what we owe the owners of stations (应付账款).
    OperatorPayable(OperatorId),
    /// 2205, what customers have paid before (合同负债).
    Prepayment(Customer),
    /// 2221, taxes (应交税费); by kind of fee under the rules that ask for it.
    Tax(Option<FeeKind>),
    /// 2221, the tax in commissions: a service to the stations' owners, whatever kind of fee they are taken from.
    CommissionTax,
    /// 2241, money that belongs to nothing, or not any more (其他应付款).
    Unidentified,
    /// 6001, revenue (主营业务收入), by kind of fee.
    Revenue(FeeKind),
    /// 6001, what is kept of other owners' fees, by kind of fee (佣金): kept apart from fees of our own, whose tax is another.
    Commission(FeeKind),
    /// 6401, the shares of stations' owners (主营业务成本).
    Shares,
    /// 6601, promotion (销售费用).
    Promotion,
    /// 6603, fees of channels (财务费用).
    ChannelFees,
    /// 6701, bad debt and cash differences (资产减值损失).
    Losses,
}

/// A text that names no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an account like 1012.sandbox or 2241")]
pub struct AccountError {
    text: String,
}

impl Account {
    /// The number in the chart.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Account::Bank => "1002",
            Account::ChannelClearing(_) => "1012",
            Account::Receivable(_) => "1122",
            Account::ChannelDispute(_) => "1221",
            Account::OperatorPayable(_) => "2202",
            Account::Prepayment(_) => "2205",
            Account::Tax(_) | Account::CommissionTax => "2221",
            Account::Unidentified => "2241",
            Account::Revenue(_) | Account::Commission(_) => "6001",
            Account::Shares => "6401",
            Account::Promotion => "6601",
            Account::ChannelFees => "6603",
            Account::Losses => "6701",
        }
    }

    /// What it is kept by; none for an account that stands alone.
    #[must_use]
    pub fn detail(self) -> Option<String> {
        match self {
            Account::ChannelClearing(channel) | Account::ChannelDispute(channel) => Some(channel.as_str().to_owned()),
            Account::Receivable(Customer::User(user)) | Account::Prepayment(Customer::User(user)) => Some(user.to_string()),
            Account::Receivable(Customer::Unknown) | Account::Prepayment(Customer::Unknown) => Some(UNKNOWN.to_owned()),
            Account::OperatorPayable(operator) => Some(operator.to_string()),
            Account::Revenue(kind) | Account::Tax(Some(kind)) => Some(kind.as_str().to_owned()),
            Account::Commission(kind) => Some(format!("{COMMISSION}_{}", kind.as_str())),
            Account::CommissionTax => Some(COMMISSION.to_owned()),
            Account::Bank
            | Account::Tax(None)
            | Account::Unidentified
            | Account::Shares
            | Account::Promotion
            | Account::ChannelFees
            | Account::Losses => None,
        }
    }

    /// What it holds, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Account::Bank => "bank",
            Account::ChannelClearing(_) => "channel clearing",
            Account::Receivable(_) => "receivables",
            Account::ChannelDispute(_) => "disputed with channels",
            Account::OperatorPayable(_) => "payable to owners",
            Account::Prepayment(_) => "customer prepayments",
            Account::Tax(_) => "taxes",
            Account::CommissionTax => "tax in commissions",
            Account::Unidentified => "unidentified receipts",
            Account::Revenue(_) => "revenue",
            Account::Commission(_) => "commissions",
            Account::Shares => "shares",
            Account::Promotion => "promotion",
            Account::ChannelFees => "channel fees",
            Account::Losses => "bad debt and cash differences",
        }
    }

    /// What it is part of.
    #[must_use]
    pub const fn class(self) -> AccountClass {
        match self {
            Account::Bank | Account::ChannelClearing(_) | Account::Receivable(_) | Account::ChannelDispute(_) => AccountClass::Asset,
            Account::OperatorPayable(_) | Account::Prepayment(_) | Account::Tax(_) | Account::CommissionTax | Account::Unidentified => {
                AccountClass::Liability
            }
            Account::Revenue(_) | Account::Commission(_) => AccountClass::Revenue,
            Account::Shares | Account::Promotion | Account::ChannelFees | Account::Losses => AccountClass::Expense,
        }
    }
}

const UNKNOWN: &str = "unknown";
const COMMISSION: &str = "commission";

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code();
        match self.detail() {
            Some(detail) => write!(f, "{code}.{detail}"),
            None => f.write_str(code),
        }
    }
}

impl FromStr for Account {
    type Err = AccountError;
    fn from_str(text: &str) -> Result<Account, AccountError> {
        let (code, detail) = text.split_once('.').map_or((text, None), |(code, detail)| (code, Some(detail)));
        let account = match (code, detail) {
            ("1002", None) => Some(Account::Bank),
            ("1012", Some(detail)) => channel(detail).map(Account::ChannelClearing),
            ("1122", Some(detail)) => customer(detail).map(Account::Receivable),
            ("1221", Some(detail)) => channel(detail).map(Account::ChannelDispute),
            ("2202", Some(detail)) => detail.parse().ok().map(Account::OperatorPayable),
            ("2205", Some(detail)) => customer(detail).map(Account::Prepayment),
            ("2221", None) => Some(Account::Tax(None)),
            ("2221", Some(COMMISSION)) => Some(Account::CommissionTax),
            ("2221", Some(detail)) => fee_kind(detail).map(|kind| Account::Tax(Some(kind))),
            ("2241", None) => Some(Account::Unidentified),
            ("6001", Some(detail)) => revenue(detail),
            ("6401", None) => Some(Account::Shares),
            ("6601", None) => Some(Account::Promotion),
            ("6603", None) => Some(Account::ChannelFees),
            ("6701", None) => Some(Account::Losses),
            (_, _) => None,
        };
        account.ok_or_else(|| AccountError { text: text.chars().take(64).collect() })
    }
}

fn channel(word: &str) -> Option<Channel> {
    Channel::ALL.into_iter().find(|channel| channel.as_str() == word)
}

fn customer(word: &str) -> Option<Customer> {
    if word == UNKNOWN { Some(Customer::Unknown) } else { word.parse().ok().map(Customer::User) }
}

fn revenue(detail: &str) -> Option<Account> {
    let commission = detail.strip_prefix(COMMISSION).and_then(|rest| rest.strip_prefix('_'));
    commission.map_or_else(|| fee_kind(detail).map(Account::Revenue), |kind| fee_kind(kind).map(Account::Commission))
}

fn fee_kind(word: &str) -> Option<FeeKind> {
    FeeKind::ALL.into_iter().find(|kind| kind.as_str() == word)
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Account, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
