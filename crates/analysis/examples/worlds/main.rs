//! Our judge and the rules of others on synthetic fleets: worlds in which we win, and worlds in which we lose.
//!
//! `cargo run --release -p everynode-analysis --example worlds -- --runs 1000`. Seeds are new each time and printed;
//! `--seed N` runs the same worlds again, `--only TEXT` those whose name has the text; words narrow it to tables: `good tolerated found restarts fresh small lost`.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "an example reports, and may panic")]

mod ports;
mod rollout;
mod tables;
mod world;

/// Prints one.
type Table = fn(&Asked);

/// How much of it is asked for.
pub struct Asked {
    /// Roll-outs of each world.
    pub runs: u64,
    /// Of the first of them.
    pub seed: u64,
    /// Only worlds whose name contains this.
    only: String,
    tables: Vec<String>,
}

impl Asked {
    fn from_arguments() -> Asked {
        let mut asked =
            Asked { runs: 100, seed: fastrand::u64(..1 << 40), only: String::new(), tables: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut next = || arguments.next().expect("a value");
            match argument.as_str() {
                "--runs" => asked.runs = next().parse().expect("a number"),
                "--seed" => asked.seed = next().parse().expect("a number"),
                "--only" => asked.only = next(),
                _ => asked.tables.push(argument),
            }
        }
        asked
    }

    /// Whether a world is asked for.
    pub fn has(&self, world: &str) -> bool {
        world.contains(&self.only)
    }

    fn wants(&self, table: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|one| one == table)
    }
}

fn main() {
    let asked = Asked::from_arguments();
    println!("{} roll-outs of each world: --runs {} --seed {}", asked.runs, asked.runs, asked.seed);
    let tables: [(&str, Table); 7] = [
        ("good", tables::good),
        ("tolerated", tables::tolerated),
        ("found", tables::found),
        ("restarts", tables::restarts),
        ("fresh", tables::fresh),
        ("small", tables::small),
        ("lost", tables::lost),
    ];
    for (name, print) in tables {
        if asked.wants(name) {
            print(&asked);
        }
    }
}
