//! The port of those who read. What a question becomes in SQL stands in [`crate::page`], [`crate::near`] and [`crate::books`].

use async_trait::async_trait;
use domain::ids::OperatorId;
use domain::log::Position;
use projections::query::{
    AsOf, Explanation, Found, Item, Query, QueryError, ReadQueries, Statement, StatementQuery, StationSearch, Subject, TrialBalance,
};

use crate::ReadModels;
use crate::cells::Parameter;
use crate::page::table;

#[async_trait]
impl ReadQueries for ReadModels {
    async fn page(&self, query: &Query) -> Result<Found, QueryError> {
        self.find_page(query).await
    }

    async fn one(&self, view: &str, operator_id: OperatorId, key: &[&str]) -> Result<Option<Item>, QueryError> {
        self.find_one(view, operator_id, key).await
    }

    async fn stations(&self, search: &StationSearch) -> Result<Found, QueryError> {
        self.find_stations(search).await
    }

    async fn trial_balance(&self, operator_id: OperatorId, as_of: AsOf) -> Result<TrialBalance, QueryError> {
        self.sum_up(operator_id, as_of).await
    }

    async fn statement(&self, query: &StatementQuery) -> Result<Statement, QueryError> {
        self.state_account(query).await
    }

    async fn explain(&self, operator_id: OperatorId, subject: &Subject) -> Result<Option<Explanation>, QueryError> {
        self.explain_subject(operator_id, subject).await
    }

    async fn position(&self, view: &str) -> Result<Position, QueryError> {
        let name = table(view)?.name;
        let parameters: [Parameter<'_>; 1] = [Box::new(name)];
        let rows = self.fetch("SELECT position FROM build.registry WHERE name = $1 AND state = 'serving'", &parameters).await?;
        Ok(Position(rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))))
    }
}
