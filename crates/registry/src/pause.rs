//! The image that sandboxes of pods are made from, built in: no network and no archive is needed for it.
//!
//! Its one program waits, and holds the namespaces of a pod while its containers come and go. It may be the first
//! process of them. The kernel lets signals without a handler not reach such a process, so it has handlers that leave;
//! and orphans become its children, so it has the kernel forget them when they end.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::json;

use crate::digest::Digest;
use crate::document::{Descriptor, Document, Index, Manifest, MediaType};
use crate::tar::{Header, Kind, Writer};

/// Where the program is loaded.
const BASE: u64 = 0x40_0000;
/// The headers of a program with one segment.
const HEADERS_BYTES: u64 = 64 + 56;
/// The flag of a signal's handler that x86 wants: it has a function to return by. Ours never returns.
const SA_RESTORER: u64 = 0x0400_0000;
/// The handler that forgets.
const SIG_IGN: u64 = 1;
/// Nobody of the machine.
const USER: &str = "65535:65535";

/// A processor, and what the program is there.
struct Processor {
    /// As images name it.
    name: &'static str,
    /// As ELF numbers it.
    machine: u16,
    /// The instructions. Behind them stand, at the next multiple of 8, two arguments of `rt_sigaction`.
    code: &'static [u8],
    /// Where the handler begins within the instructions.
    handler: u64,
}

const PROCESSORS: [Processor; 2] = [
    Processor {
        name: "amd64",
        machine: 62,
        handler: 0x43,
        #[rustfmt::skip]
        code: &[
            // SIGCHLD: ignored.
            0xb8, 0x0d, 0x00, 0x00, 0x00,             // mov eax, 13 (rt_sigaction)
            0xbf, 0x11, 0x00, 0x00, 0x00,             // mov edi, 17 (SIGCHLD)
            0x48, 0x8d, 0x35, 0x3f, 0x00, 0x00, 0x00, // lea rsi, [rip + 0x3f] (the first argument)
            0x31, 0xd2,                               // xor edx, edx
            0x41, 0xba, 0x08, 0x00, 0x00, 0x00,       // mov r10d, 8
            0x0f, 0x05,                               // syscall
            // SIGTERM, SIGINT: the handler.
            0xb8, 0x0d, 0x00, 0x00, 0x00,             // mov eax, 13
            0xbf, 0x0f, 0x00, 0x00, 0x00,             // mov edi, 15 (SIGTERM)
            0x48, 0x8d, 0x35, 0x44, 0x00, 0x00, 0x00, // lea rsi, [rip + 0x44] (the second argument)
            0x0f, 0x05,                               // syscall
            0xb8, 0x0d, 0x00, 0x00, 0x00,             // mov eax, 13
            0xbf, 0x02, 0x00, 0x00, 0x00,             // mov edi, 2 (SIGINT)
            0x0f, 0x05,                               // syscall
            // Wait for ever.
            0xb8, 0x22, 0x00, 0x00, 0x00,             // mov eax, 34 (pause)
            0x0f, 0x05,                               // syscall
            0xeb, 0xf7,                               // jmp -9
            // The handler.
            0xb8, 0xe7, 0x00, 0x00, 0x00,             // mov eax, 231 (exit_group)
            0x31, 0xff,                               // xor edi, edi
            0x0f, 0x05,                               // syscall
        ],
    },
    Processor {
        name: "arm64",
        machine: 183,
        handler: 0x4c,
        #[rustfmt::skip]
        code: &[
            // SIGCHLD: ignored.
            0xc8, 0x10, 0x80, 0xd2, // mov x8, 134 (rt_sigaction)
            0x20, 0x02, 0x80, 0xd2, // mov x0, 17 (SIGCHLD)
            0x81, 0x02, 0x00, 0x10, // adr x1, +0x50 (the first argument)
            0x02, 0x00, 0x80, 0xd2, // mov x2, 0
            0x03, 0x01, 0x80, 0xd2, // mov x3, 8
            0x01, 0x00, 0x00, 0xd4, // svc 0
            // SIGTERM, SIGINT: the handler.
            0xe0, 0x01, 0x80, 0xd2, // mov x0, 15 (SIGTERM)
            0xe1, 0x02, 0x00, 0x10, // adr x1, +0x5c (the second argument)
            0x01, 0x00, 0x00, 0xd4, // svc 0
            0x40, 0x00, 0x80, 0xd2, // mov x0, 2 (SIGINT)
            0x01, 0x00, 0x00, 0xd4, // svc 0
            // Wait for ever.
            0x28, 0x09, 0x80, 0xd2, // mov x8, 73 (ppoll)
            0x00, 0x00, 0x80, 0xd2, // mov x0, 0
            0x01, 0x00, 0x80, 0xd2, // mov x1, 0
            0x02, 0x00, 0x80, 0xd2, // mov x2, 0
            0x03, 0x00, 0x80, 0xd2, // mov x3, 0
            0x04, 0x01, 0x80, 0xd2, // mov x4, 8
            0x01, 0x00, 0x00, 0xd4, // svc 0
            0xfa, 0xff, 0xff, 0x17, // b -0x18
            // The handler.
            0xc8, 0x0b, 0x80, 0xd2, // mov x8, 94 (exit_group)
            0x00, 0x00, 0x80, 0xd2, // mov x0, 0
            0x01, 0x00, 0x00, 0xd4, // svc 0
        ],
    },
];

/// The image, for all processors that it is there for.
#[derive(Debug)]
pub(crate) struct Pause {
    pub(crate) index: Document,
    blobs: HashMap<Digest, Bytes>,
}

impl Pause {
    /// Makes the image.
    pub(crate) fn new() -> Pause {
        let mut pause = Pause { index: document(Vec::new()), blobs: HashMap::new() };
        let manifests = PROCESSORS.iter().map(|processor| pause.image(processor)).collect();
        let media_type = Some(MediaType::Index.name().to_owned());
        pause.index = document(json_bytes(&Index { schema_version: 2, media_type, manifests }));
        pause.blobs.insert(pause.index.digest, pause.index.content.clone());
        pause
    }

    /// A document or layer of it.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<&Bytes> {
        self.blobs.get(digest)
    }

    fn add(&mut self, media_type: MediaType, content: Vec<u8>) -> Descriptor {
        let described = Descriptor::of(media_type, &content);
        self.blobs.insert(described.digest, content.into());
        described
    }

    /// The image for one processor, described.
    fn image(&mut self, processor: &Processor) -> Descriptor {
        let layer = self.add(MediaType::Layer, layer(&program(processor)));
        let config = json!({
            "architecture": processor.name, "os": "linux", "config": {"Entrypoint": ["/pause"], "User": USER},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        });
        let config = self.add(MediaType::Config, json_bytes(&config));
        let media_type = MediaType::Manifest.name().to_owned();
        let manifest = Manifest { schema_version: 2, media_type, config, layers: vec![layer] };
        let described = self.add(MediaType::Manifest, json_bytes(&manifest));
        Descriptor { platform: Some(json!({"architecture": processor.name, "os": "linux"})), ..described }
    }
}

fn document(content: Vec<u8>) -> Document {
    let digest = Digest::of(&content);
    Document { media_type: MediaType::Index.name().to_owned(), digest, content: content.into() }
}

/// Our own documents have text for keys, so that they can be written.
fn json_bytes(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn layer(program: &[u8]) -> Vec<u8> {
    let mut archive = Writer::new(Vec::new());
    let size = program.len() as u64;
    let header = Header { path: "pause", kind: Kind::File, mode: 0o755, link: "", size, modified_seconds: 0 };
    // It is written to memory.
    let _ = archive.entry(&header, &mut &*program);
    archive.finish().unwrap_or_default()
}

/// The program as a file of the kind ELF: headers, instructions, and two arguments of `rt_sigaction`.
fn program(processor: &Processor) -> Vec<u8> {
    let entry = BASE + HEADERS_BYTES;
    let handler = entry + processor.handler;
    let code_bytes = (processor.code.len() as u64).next_multiple_of(8);
    let size = HEADERS_BYTES + code_bytes + 2 * 4 * 8;
    let mut file = Vec::new();
    let halves =
        |file: &mut Vec<u8>, values: &[u16]| file.extend(values.iter().flat_map(|it| it.to_le_bytes()));
    let words =
        |file: &mut Vec<u8>, values: &[u32]| file.extend(values.iter().flat_map(|it| it.to_le_bytes()));
    let longs =
        |file: &mut Vec<u8>, values: &[u64]| file.extend(values.iter().flat_map(|it| it.to_le_bytes()));
    // 64 bits, little endian, version 1, for any system.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // A program at fixed addresses, for this machine.
    halves(&mut file, &[2, processor.machine]);
    words(&mut file, &[1]);
    // Where it begins; where the headers of segments are, and those of sections, which there are none of.
    longs(&mut file, &[entry, 64, 0]);
    words(&mut file, &[0]);
    // The size of this header; size and number of those of segments, and of sections; their names.
    halves(&mut file, &[64, 56, 1, 64, 0, 0]);
    // A segment that is loaded, to be read and run.
    words(&mut file, &[1, 5]);
    // From where in the file, to which address (twice), how much of it there and here, aligned to what.
    longs(&mut file, &[0, BASE, BASE, size, size, 0x1_0000]);
    file.extend(processor.code);
    file.resize((HEADERS_BYTES + code_bytes) as usize, 0);
    // Handler, flags, the function to return by, signals that are held back meanwhile.
    longs(&mut file, &[SIG_IGN, SA_RESTORER, handler, 0]);
    longs(&mut file, &[handler, SA_RESTORER, handler, 0]);
    file
}

#[cfg(test)]
#[path = "pause_tests.rs"]
mod tests;
