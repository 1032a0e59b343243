//! A value for each key that every record of the key changes.

use std::sync::Arc;

use millstream_engine::data::{Data, Key, Keyed, Wire};
use millstream_engine::error::Result;
use millstream_engine::graph::operator::{
    AnyOutput, Operator, OperatorContext, OperatorSetup, Output, Records,
};
use millstream_engine::state::table::{StateTable, Table};

/// The table of [`Running`], with the version of its values.
pub(crate) const TABLES: [(&str, u8); 1] = [("values", 1)];

/// How a running value begins, changes, and looks from outside.
pub(crate) struct Steps<S, F, G> {
    /// The value before any record.
    pub init: S,
    /// Adds a record.
    pub add: F,
    /// What comes out behind each record.
    pub finish: G,
}

/// The operator behind running folds and aggregates: behind each record comes the key with its
/// new value, at the record's event time.
pub(crate) struct Running<K: Key, P, S: Wire, R: Data, F, G> {
    steps: Arc<Steps<S, F, G>>,
    values: Table<K, S>,
    results: Output<(K, R)>,
    processed: u64,
    takes: std::marker::PhantomData<fn(P)>,
}

impl<K: Key, P, S: Wire, R: Data, F, G> Running<K, P, S, R, F, G> {
    /// The operator as the checkpoint left it.
    ///
    /// # Errors
    /// When the plan does not fit.
    pub(crate) fn open(setup: &mut OperatorSetup<'_>, steps: Arc<Steps<S, F, G>>) -> Result<Self> {
        let [(values, version)] = TABLES;
        Ok(Running {
            steps,
            values: setup.table(values, version),
            results: setup.output(0)?,
            processed: 0,
            takes: std::marker::PhantomData,
        })
    }
}

impl<K, P, S, R, F, G> Operator for Running<K, P, S, R, F, G>
where
    K: Key,
    P: Data,
    S: Wire,
    R: Data,
    F: Fn(&mut S, P) + 'static,
    G: Fn(&S) -> R + 'static,
{
    type In = Keyed<K, P>;

    fn on_records(&mut self, records: Records<'_, Self::In>, _cx: &OperatorContext) -> Result<()> {
        let slice = self.values.slice(0);
        let steps = &*self.steps;
        let upcoming = records.ahead(usize::MAX).iter();
        self.values
            .prefetch(slice, upcoming.map(|record| (record.hash, &record.key)))?;
        for record in records {
            self.processed += 1;
            let value = self
                .values
                .upsert(slice, record.hash, &record.key, || steps.init.clone())?;
            (steps.add)(value, record.payload);
            self.results
                .emit(record.time, (record.key, (steps.finish)(value)));
        }
        Ok(())
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn StateTable)) {
        visit(&mut self.values);
    }

    fn outputs(&mut self, visit: &mut dyn FnMut(&mut dyn AnyOutput)) {
        visit(&mut self.results);
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("processed", self.processed)]
    }
}
