//! How the memory of a job is dealt out: to rows, to RocksDB, to what is on its way between them.

/// The program, its threads, and batches on their way, whatever the state.
const PROGRAM_BYTES: usize = 32 << 20;

/// What rows of state may take, all workers together. The rest is for RocksDB, runs on their way
/// there, and what allocators hold back.
pub(crate) fn rows(memory: usize) -> usize {
    (memory - PROGRAM_BYTES.min(memory / 3)) / 2
}

/// What RocksDB gets for blocks and for what it has not written to files yet.
pub(crate) fn store(memory: usize) -> usize {
    memory / 4
}

/// What is left of a worker's rows where RocksDB takes `readers` to find the rows that are in its
/// files: a third of what rows may take goes unnoticed, and a quarter of them stays.
pub(crate) fn rows_beside(rows: usize, readers: usize) -> usize {
    rows.saturating_sub(readers.saturating_sub(rows / 3))
        .max(rows / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_parts_add_up_to_no_more_than_there_is() {
        for mib in [16, 64, 100, 512, 16 << 10] {
            let memory = mib * MIB;
            let rows = rows(memory);
            let readers_unnoticed = rows / 3;
            assert!(
                rows + readers_unnoticed + store(memory) <= memory,
                "{mib} MiB"
            );
            assert!(rows >= memory / 4, "{mib} MiB");
        }
    }

    fn check(rows_mib: usize, readers_mib: usize, expected_mib: usize) {
        let left = rows_beside(rows_mib * MIB, readers_mib * MIB);
        assert_eq!(left, expected_mib * MIB, "{readers_mib} MiB of readers");
    }

    #[test]
    fn rows_make_room_for_what_rocksdb_needs_to_find_the_others() {
        check(240, 0, 240);
        check(240, 80, 240);
        check(240, 100, 220);
        check(240, 1000, 60);
    }
}
