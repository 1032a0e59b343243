//! For tests of operators: one operator, driven by hand.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use crate::data::{Batch, Data, Timed, Timestamp};
use crate::error::Result;
use crate::graph::operator::{
    Barrier, Flow, Operator, OperatorContext, OperatorSetup, Outlet, Records,
};
use crate::state::table::TableContext;

/// Drives one operator on one worker, without threads, checkpoints or channels.
pub struct OperatorHarness<O: Operator> {
    operator: O,
    watermark: Timestamp,
}

/// What an operator has emitted on one output.
#[derive(Debug)]
pub struct Emitted<T>(Rc<RefCell<Vec<Timed<T>>>>);

impl<T> Default for Emitted<T> {
    fn default() -> Self {
        Emitted(Rc::default())
    }
}

impl<T> Clone for Emitted<T> {
    fn clone(&self) -> Self {
        Emitted(self.0.clone())
    }
}

impl<T: Data> Emitted<T> {
    /// Takes what was emitted since the last call, as (event time, record).
    pub fn take(&self) -> Vec<(Timestamp, T)> {
        let records = std::mem::take(&mut *self.0.borrow_mut());
        records.into_iter().map(|r| (r.time, r.value)).collect()
    }

    /// The end that an operator's output is made with.
    pub fn outlet(&self) -> Box<dyn Any> {
        let outlet: Box<dyn Outlet<T>> = Box::new(self.clone());
        Box::new(outlet)
    }
}

impl<T: Data> Outlet<T> for Emitted<T> {
    fn send(&mut self, batch: Batch<Timed<T>>) {
        self.0.borrow_mut().extend(batch.records);
    }

    fn barrier(&mut self, _barrier: Barrier) {}

    fn has_credit(&self) -> bool {
        true
    }
}

impl<O: Operator> OperatorHarness<O> {
    /// Builds an operator whose output at port `i` goes to `outlets[i]`.
    ///
    /// # Errors
    /// As `build`.
    pub fn new(
        mut outlets: Vec<Option<Box<dyn Any>>>,
        build: impl FnOnce(&mut OperatorSetup<'_>) -> Result<O>,
    ) -> Result<Self> {
        let operator = build(&mut OperatorSetup {
            tables: &mut |name, _| TableContext::in_memory(name),
            outlets: &mut |port| outlets.get_mut(port).and_then(Option::take),
            watermark: Timestamp::MIN,
        })?;
        Ok(OperatorHarness {
            operator,
            watermark: Timestamp::MIN,
        })
    }

    /// Hands records to the operator.
    ///
    /// # Errors
    /// As the operator.
    pub fn records(&mut self, records: Vec<O::In>) -> Result<()> {
        let count = records.len();
        let mut records = records.into_iter();
        let cx = OperatorContext {
            watermark: self.watermark,
        };
        self.operator
            .on_records(Records::new(&mut records, count, &mut 0), &cx)?;
        self.operator.outputs(&mut |output| output.flush());
        Ok(())
    }

    /// Advances the watermark, as the runtime does: the operator is only called when it is due.
    ///
    /// # Errors
    /// As the operator.
    pub fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        let cx = OperatorContext { watermark };
        while watermark >= self.operator.due() && self.operator.on_watermark(&cx)? == Flow::Again {
            self.operator.outputs(&mut |output| output.flush());
        }
        self.operator.outputs(&mut |output| output.flush());
        Ok(())
    }

    /// The operator.
    pub fn operator(&mut self) -> &mut O {
        &mut self.operator
    }
}
