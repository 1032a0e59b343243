//! The thread that keeps the state: writes it to RocksDB, saves checkpoints, commits manifests,
//! removes what is no longer needed. Disk waits happen here, never on a worker.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender};

use crate::checkpoint::directory::CheckpointDir;
use crate::checkpoint::fail_points::reach;
use crate::checkpoint::manifest::{Manifest, StateEntry};
use crate::error::{Error, Result};
use crate::runtime::event::{Event, Failure};
use crate::runtime::failure::panic_message;
use crate::state::rocks::Store;
use crate::state::run::Run;

/// What the supervisor asks of the keeper.
pub(crate) enum Order {
    /// Write what the workers handed over and save the state of the epoch.
    Save { epoch: u64, runs: Vec<Run> },
    /// The commit point of the epoch.
    Commit(Box<Manifest>),
    /// Remove what is older than this epoch.
    CollectGarbage { before: u64 },
}

/// Obeys orders until there are no more.
pub(crate) fn run(
    dir: &CheckpointDir,
    store: &Store,
    restored: Option<StateEntry>,
    orders: &Receiver<Order>,
    events: &Sender<Event>,
    saved: impl Fn(u64),
) {
    let mut previous = restored;
    for order in orders {
        let obeying = AssertUnwindSafe(|| obey(dir, store, &mut previous, order, &saved));
        // The supervisor waits for an answer to each order, so a panic must be one.
        let done = catch_unwind(obeying).unwrap_or_else(|panic| {
            let said = panic_message(&*panic);
            Err(Error::internal(format!("the keeper panicked: {said}")))
        });
        let failed = done.is_err();
        let event = done.unwrap_or_else(|error| {
            Event::Failed(Box::new(Failure {
                error: error.at("checkpoint"),
                record: None,
            }))
        });
        let _ = events.send(event);
        if failed {
            return;
        }
    }
}

fn obey(
    dir: &CheckpointDir,
    store: &Store,
    previous: &mut Option<StateEntry>,
    order: Order,
    saved: impl Fn(u64),
) -> Result<Event> {
    match order {
        Order::Save { epoch, mut runs } => {
            runs.iter_mut().for_each(Run::sort);
            reach("rocks.write")?;
            store.write(&runs)?;
            drop(runs);
            let target = dir.new_epoch_dir(epoch)?;
            reach("rocks.flush")?;
            store.checkpoint(&target)?;
            saved(epoch);
            let state = dir.seal(&target, previous.as_ref())?;
            *previous = Some(state.clone());
            Ok(Event::StateSealed { epoch, state })
        }
        Order::Commit(manifest) => {
            dir.commit(&manifest)?;
            Ok(Event::Committed {
                epoch: manifest.epoch,
            })
        }
        Order::CollectGarbage { before } => {
            dir.collect_garbage(before)?;
            Ok(Event::CollectedGarbage { epoch: before })
        }
    }
}
