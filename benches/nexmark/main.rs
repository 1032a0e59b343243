//! Nexmark.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod arrival;
mod event;
mod generator;
mod input;
mod source;

fn main() {
    let input = input::Input {
        events: 20_000_000,
        rate: 100_000,
        wide: false,
        splits: 1,
        shuffle_ms: 0,
    };
    let g = generator::Generator::new(&input);
    for _ in 0..3 {
        let start = millstream_benches::cpu_seconds();
        let mut sum = 0u64;
        for n in arrival::Cursor::new(input, 0) {
            let e = std::hint::black_box(g.event(n));
            sum = sum.wrapping_add(e.ts() as u64);
        }
        println!(
            "{sum} {} ns",
            (millstream_benches::cpu_seconds() - start) * 1e9 / 2e7
        );
    }
}
