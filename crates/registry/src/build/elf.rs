//! What a program or library needs: its loader, and other libraries. Source: the ELF-64 object file format.

/// The processors that are known: how ELF numbers them, how images call them, where Debian has their libraries.
const MACHINES: [(u16, Machine); 3] = [
    (62, Machine { name: "amd64", folder: "x86_64-linux-gnu" }),
    (183, Machine { name: "arm64", folder: "aarch64-linux-gnu" }),
    (243, Machine { name: "riscv64", folder: "riscv64-linux-gnu" }),
];

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// Entries of the table of what is needed.
const ENTRIES_LIMIT: usize = 4_096;
const TEXT_LIMIT_BYTES: usize = 4_096;

/// A processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// As images call it.
    pub(crate) name: &'static str,
    /// The directory of its libraries below `lib`.
    pub(crate) folder: &'static str,
}

/// What a program or library tells of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) machine: Machine,
    /// The path of its loader.
    pub(crate) loader: Option<String>,
    /// Names of libraries.
    pub(crate) needed: Vec<String>,
    /// Directories to search for them first.
    pub(crate) search: Vec<String>,
}

/// A segment of a file, and where it is loaded.
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads a file; `None` when it is no program at all.
///
/// # Errors
/// It is one that is not understood.
pub(crate) fn read(file: &[u8]) -> Result<Option<Program>, &'static str> {
    if !file.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    if file.get(4..6) != Some(&[2, 1]) {
        return Err("only programs of 64 bits, the least significant first, are known");
    }
    let number = number(file, 18, 2).ok_or(ENDS)?;
    let machine = MACHINES.iter().find(|(one, _)| u64::from(*one) == number).map(|(_, machine)| *machine);
    let machine = machine.ok_or("its processor is not known")?;
    let segments = segments(file).ok_or(ENDS)?;
    let mut program = Program { machine, loader: None, needed: Vec::new(), search: Vec::new() };
    if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
        program.loader = Some(text(file, segment.offset).ok_or(ENDS)?);
    }
    if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) {
        read_dynamic(file, segment, &segments, &mut program).ok_or(ENDS)?;
    }
    Ok(Some(program))
}

const ENDS: &str = "it ends early, or points out of itself";

fn segments(file: &[u8]) -> Option<Vec<Segment>> {
    let (start, size, count) = (number(file, 32, 8)?, number(file, 54, 2)?, number(file, 56, 2)?);
    (0..count)
        .map(|index| {
            let at = start.checked_add(index.checked_mul(size)?)?;
            let field = |offset: u64, bytes| number(file, at.checked_add(offset)?, bytes);
            Some(Segment {
                kind: field(0, 4)?,
                offset: field(8, 8)?,
                address: field(16, 8)?,
                size: field(32, 8)?,
            })
        })
        .collect()
}

/// Reads the table of what is needed: pairs of a tag and a value, which is often a place in a table of texts.
fn read_dynamic(file: &[u8], dynamic: &Segment, segments: &[Segment], program: &mut Program) -> Option<()> {
    let count = usize::try_from(dynamic.size / 16).ok()?.min(ENTRIES_LIMIT) as u64;
    let entries: Option<Vec<(u64, u64)>> = (0..count)
        .map(|index| {
            let at = dynamic.offset.checked_add(index * 16)?;
            Some((number(file, at, 8)?, number(file, at.checked_add(8)?, 8)?))
        })
        .collect();
    let entries = entries?;
    let entries = entries.split(|(tag, _)| *tag == 0).next().unwrap_or_default();
    let Some((_, texts)) = entries.iter().find(|(tag, _)| *tag == DT_STRTAB) else { return Some(()) };
    let texts = segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
        let within = texts.checked_sub(segment.address).filter(|within| *within < segment.size)?;
        segment.offset.checked_add(within)
    })?;
    for (tag, value) in entries {
        let value = || text(file, texts.checked_add(*value)?);
        match *tag {
            DT_NEEDED => program.needed.push(value()?),
            DT_RPATH | DT_RUNPATH => program.search.extend(value()?.split(':').map(str::to_owned)),
            _ => {}
        }
    }
    Some(())
}

/// A number of some bytes, the least significant first.
fn number(file: &[u8], at: u64, bytes: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let field = file.get(at..at.checked_add(bytes)?)?;
    Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// A text up to its zero byte.
fn text(file: &[u8], at: u64) -> Option<String> {
    let rest = file.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().take(TEXT_LIMIT_BYTES).position(|byte| *byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_program_is_told_apart_from_one_that_is_not_understood() {
        assert_eq!(read(b"#!/bin/sh\n"), Ok(None));
        assert_eq!(read(b""), Ok(None));
        for file in [&b"\x7fELF"[..], b"\x7fELF\x01\x01", b"\x7fELF\x02\x02"] {
            assert!(read(file).is_err(), "{file:?}");
        }
    }

    #[test]
    fn a_program_of_this_machine_tells_what_it_needs() {
        // The test itself is one.
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let program = read(&file).unwrap().unwrap();
        assert!(program.needed.iter().any(|name| name.starts_with("libc.so")), "{program:?}");
        assert!(program.loader.unwrap().starts_with('/'));
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_file_reading_it_ends(at in 0_usize..4_096, byte: u8, length in 0_usize..20_000) {
            let mut file = beginning()[..length].to_vec();
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
            let _ = read(&file);
        }
    }

    /// The beginning of a program.
    fn beginning() -> &'static [u8] {
        static FILE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        FILE.get_or_init(|| {
            let mut file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
            file.truncate(20_000);
            file
        })
    }
}
