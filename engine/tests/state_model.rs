//! Keyed state against an ordered map: whatever is changed, evicted and read back, and whenever a
//! checkpoint is cut, the table says what the map says, and the checkpoint holds the state as of
//! its barrier and nothing younger.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millstream_engine::checkpoint::changes;
use millstream_engine::state::key_group::{KEY_GROUPS, stable_hash};
use millstream_engine::state::merge::merged;
use millstream_engine::state::rocks::Store;
use millstream_engine::state::run::Run;
use millstream_engine::state::table::{Row, StateTable, Table, TableContext, Walk};
use proptest::prelude::*;

const FAMILY: &str = "op/table";
const MEMORY: usize = 32 << 20;

type Model = BTreeMap<(i64, u16), String>;
/// With about how many rows each holds.
type Namespaces = Vec<(i64, u64)>;

#[derive(Clone, Debug)]
enum Step {
    Set(i64, u16, u32),
    Remove(i64, u16),
    Drop(i64),
    Get(i64, u16),
    Walk(i64),
    Close(i64),
    Prefetch(i64, u16),
    Evict(usize),
    /// Between two batches, after a restart.
    Warm(usize),
    /// The barrier.
    Freeze,
    /// Between two batches.
    Drain(usize),
    /// The checkpoint is saved: all of RocksDB.
    Save,
    /// The checkpoint is saved: what has changed, if that may be.
    SaveChanges,
    /// The process dies and starts again from its last checkpoint.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let namespace = -2i64..3;
    let key = 0u16..12;
    let step = prop_oneof![
        10 => (namespace.clone(), key.clone(), any::<u32>()).prop_map(|(n, k, v)| Step::Set(n, k, v)),
        3 => (namespace.clone(), key.clone()).prop_map(|(n, k)| Step::Remove(n, k)),
        1 => namespace.clone().prop_map(Step::Drop),
        4 => (namespace.clone(), key).prop_map(|(n, k)| Step::Get(n, k)),
        2 => (namespace.clone(), 1u16..12).prop_map(|(n, k)| Step::Prefetch(n, k)),
        1 => namespace.clone().prop_map(Step::Walk),
        2 => namespace.prop_map(Step::Close),
        2 => (0usize..2000).prop_map(Step::Evict),
        3 => (1usize..6).prop_map(Step::Warm),
        3 => Just(Step::Freeze),
        3 => (0usize..6).prop_map(Step::Drain),
        2 => Just(Step::Save),
        3 => Just(Step::SaveChanges),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..120)
}

struct Subject<'a> {
    dir: &'a Path,
    store: Arc<Store>,
    table: Table<u16, String>,
    model: Model,
    /// The state at the barrier that is being saved.
    frozen: Option<(Model, Namespaces)>,
    /// The last checkpoint: its directory, its state, its namespaces.
    saved: Option<(usize, Model, Namespaces)>,
    /// The changes since the last whole checkpoint, as they stand on the disk.
    changes: Vec<Vec<u8>>,
    /// The last whole checkpoint was saved since the start.
    own: bool,
    saves: usize,
    whole: usize,
}

fn open(store: &Arc<Store>, restored: Vec<(i64, u64)>, whole: usize) -> Table<u16, String> {
    Table::new(TableContext {
        store: Some(store.clone()),
        restored,
        load_whole_bytes: whole,
        warm_bytes: 1500,
        ..TableContext::in_memory(FAMILY)
    })
}

impl<'a> Subject<'a> {
    fn new(dir: &'a Path, whole: usize) -> Self {
        let store = Arc::new(Store::open(&dir.join("live"), &[FAMILY.to_owned()], MEMORY).unwrap());
        Subject {
            dir,
            table: open(&store, Vec::new(), whole),
            store,
            model: Model::new(),
            frozen: None,
            saved: None,
            changes: Vec::new(),
            own: false,
            saves: 0,
            whole,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Set(namespace, key, value) => {
                let value = format!("{value:x}");
                let slice = self.table.slice(namespace);
                let state = self
                    .table
                    .upsert(slice, stable_hash(&key), &key, String::new)
                    .unwrap();
                let before = self.model.insert((namespace, key), value.clone());
                assert_eq!(*state, before.unwrap_or_default());
                *state = value;
            }
            Step::Remove(namespace, key) => {
                let Some(slice) = self.table.find_slice(namespace) else {
                    return;
                };
                let was_there = self.table.remove(slice, stable_hash(&key), &key).unwrap();
                assert_eq!(was_there, self.model.remove(&(namespace, key)).is_some());
            }
            Step::Drop(namespace) => {
                self.table.drop_slice(namespace).unwrap();
                self.model.retain(|&(n, _), _| n != namespace);
            }
            Step::Get(namespace, key) => {
                let Some(slice) = self.table.find_slice(namespace) else {
                    assert!(!self.model.contains_key(&(namespace, key)));
                    return;
                };
                let value = self.table.get(slice, stable_hash(&key), &key).unwrap();
                assert_eq!(value, self.model.get(&(namespace, key)));
            }
            Step::Prefetch(namespace, keys) => {
                let Some(slice) = self.table.find_slice(namespace) else {
                    return;
                };
                // Some of them twice.
                let keys: Vec<u16> = (0..keys).chain(0..keys / 2).collect();
                let keys = keys.iter().map(|key| (stable_hash(key), key));
                self.table.prefetch(slice, keys).unwrap();
            }
            Step::Walk(namespace) => self.walk(namespace),
            Step::Close(namespace) => {
                if let Some(slice) = self.table.find_slice(namespace) {
                    self.table.close(slice);
                }
            }
            Step::Evict(bytes) => {
                self.table.evict(bytes).unwrap();
            }
            Step::Warm(rows) => {
                self.table.warm(rows).unwrap();
            }
            Step::Freeze if self.frozen.is_none() => {
                self.table.freeze();
                let namespaces = self.table.inventory().namespaces;
                self.frozen = Some((self.model.clone(), namespaces));
            }
            Step::Drain(rows) if self.frozen.is_some() => {
                self.table.drain(rows).unwrap();
            }
            Step::Save => self.save(true),
            Step::SaveChanges => self.save(false),
            Step::Restart => self.restart(),
            Step::Freeze | Step::Drain(_) => {}
        }
    }

    fn walk(&mut self, namespace: i64) {
        let Some(slice) = self.table.find_slice(namespace) else {
            return;
        };
        let (mut seen, mut walk) = (Vec::new(), Walk::default());
        while self
            .table
            .walk(slice, &mut walk, 2, |row| {
                seen.push(((namespace, *row.key), row.value.clone()));
            })
            .unwrap()
        {
            // What is being walked is not evicted: nothing may be seen twice or missed.
            self.table.evict(200).unwrap();
        }
        let count = seen.len();
        let seen: Model = seen.into_iter().collect();
        let mut together = Vec::new();
        let see = |rows: &[Row<'_, u16, String>]| {
            let rows = rows.iter();
            together.extend(rows.map(|row| ((namespace, *row.key), row.value.clone())));
        };
        self.table.walk_together(slice, see).unwrap();
        assert_eq!(together.len(), count);
        assert_eq!(together.into_iter().collect::<Model>(), seen);
        assert_eq!(count, seen.len(), "nothing is seen twice");
        self.table.load(slice).unwrap();
        let rows: BTreeMap<(i64, u16), String> = self
            .table
            .rows(slice, 0)
            .map(|(_, row)| ((namespace, *row.key), row.value.clone()))
            .collect();
        let expected: Model = self
            .model
            .range((namespace, 0)..(namespace + 1, 0))
            .map(|(k, v)| (*k, v.clone()))
            .collect();
        assert_eq!(rows, expected);
        assert_eq!(seen, expected);
    }

    /// What the workers, the keeper and the supervisor do together.
    fn save(&mut self, whole: bool) {
        let Some((state, namespaces)) = self.frozen.take() else {
            return;
        };
        while !self.table.drain(3).unwrap() {}
        let runs = self.table.take_runs();
        self.store.tell_overlay().unwrap();
        let spilled = self.store.take_spill();
        let whole = whole || spilled || !self.own;
        if whole {
            // What a restart has read is in RocksDB already.
            let mut all = if self.own {
                self.unwritten()
            } else {
                Vec::new()
            };
            all.extend(runs);
            self.changes.clear();
            self.store.write(&merged(&all)).unwrap();
            self.saves += 1;
            let copy = self.dir.join(format!("copy-{}", self.saves));
            self.store.checkpoint(&copy).unwrap();
            self.own = true;
        } else {
            self.changes.push(changes::encode(&runs).unwrap());
        }
        self.store.set_unwritten(!whole);
        self.table.settle(whole);
        let number = match &self.saved {
            Some((number, ..)) if !whole => *number,
            _ => self.saves,
        };
        let copy = self.dir.join(format!("copy-{number}"));
        assert_eq!(
            stored(&copy, self.unwritten()),
            state,
            "the checkpoint holds the state at its barrier"
        );
        self.saved = Some((number, state, namespaces));
    }

    fn unwritten(&self) -> Vec<Run> {
        let files = self.changes.iter();
        files
            .flat_map(|bytes| changes::decode(bytes).unwrap())
            .collect()
    }

    fn restart(&mut self) {
        let (copy, state, namespaces) = match &self.saved {
            Some((number, state, namespaces)) => {
                (format!("copy-{number}"), state.clone(), namespaces.clone())
            }
            None => return,
        };
        self.frozen = None;
        let from = self.dir.join(copy);
        let live = self.dir.join(format!("live-{}", self.saves));
        let _ = std::fs::remove_dir_all(&live);
        self.saves += 1;
        copy_dir(&from, &live);
        self.store = Arc::new(Store::open(&live, &[FAMILY.to_owned()], MEMORY).unwrap());
        self.store.lay_over(self.unwritten()).unwrap();
        self.own = false;
        self.table = open(&self.store, namespaces, self.whole);
        self.model = state;
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Everything that a copy of the database holds, read without the table.
fn stored(copy: &Path, unwritten: Vec<Run>) -> Model {
    let readable = copy.with_extension("read");
    let _ = std::fs::remove_dir_all(&readable);
    copy_dir(copy, &readable);
    let store = Store::open(&readable, &[FAMILY.to_owned()], MEMORY).unwrap();
    store.write(&merged(&unwritten)).unwrap();
    let mut rows = Model::new();
    for namespace in -2..3 {
        store
            .scan(FAMILY, namespace, &(0..KEY_GROUPS), None, |key, value| {
                let key = millstream_engine::state::codec::decode(&key[10..])?;
                let value = millstream_engine::state::codec::decode_versioned(1, value)?;
                rows.insert((namespace, key), value);
                Ok(std::ops::ControlFlow::Continue(()))
            })
            .unwrap();
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_a_map_and_a_checkpoint_is_its_past(
        steps in steps(),
        whole in prop_oneof![Just(0usize), Just(1 << 20)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut subject = Subject::new(dir.path(), whole);
        for step in steps {
            subject.apply(step);
        }
        for namespace in -2..3 {
            subject.walk(namespace);
        }
    }
}
