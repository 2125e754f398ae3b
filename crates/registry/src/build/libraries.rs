//! The libraries that the programs of an image need, from this machine.

use std::path::{Path, PathBuf};

use super::elf::{self, Machine, Program};
use super::error::BuildError;
use super::tree::{Content, Node, Tree};

/// Where libraries are, below the folder of the processor and beside it: the order of glibc's loader.
const DIRECTORIES: [&str; 3] = ["/lib", "/usr/lib", "/usr/local/lib"];
const OTHER_DIRECTORIES: [&str; 5] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];
/// Files that are programs by their mode.
const RUN_MODE: u32 = 0o111;

impl Tree {
    /// Adds the loaders and libraries that the programs in it need, and those that these need. What the image has
    /// already is not looked for on this machine.
    ///
    /// # Errors
    /// A library is nowhere, or a program cannot be read.
    pub fn add_libraries(&mut self) -> Result<(), BuildError> {
        let mut open: Vec<(String, Content)> =
            self.nodes().filter_map(|(path, node)| program(path, node)).collect();
        while let Some((path, content)) = open.pop() {
            let error = |why| BuildError::Program { path: format!("/{path}"), why };
            let Some(program) = elf::read(&content.read()?).map_err(error)? else { continue };
            for (place, library) in self.missing(&path, &program)? {
                let node = Node::File(0o755, library.clone());
                self.insert(&place, node)?;
                open.push((place, library));
            }
        }
        Ok(())
    }

    /// The processor that the programs of the image are for, as images call it: that of the first one.
    pub(crate) fn architecture(&self) -> Result<Option<&'static str>, BuildError> {
        for (path, content) in self.nodes().filter_map(|(path, node)| program(path, node)) {
            let error = |why| BuildError::Program { path: format!("/{path}"), why };
            if let Some(program) = elf::read(&content.read()?).map_err(error)? {
                return Ok(Some(program.machine.name));
            }
        }
        Ok(None)
    }

    /// What a program needs and the image does not have: places, and what goes there.
    fn missing(&self, path: &str, program: &Program) -> Result<Vec<(String, Content)>, BuildError> {
        let mut missing = Vec::new();
        let nowhere =
            |library: &str| BuildError::Library { path: format!("/{path}"), library: library.to_owned() };
        if let Some(loader) = &program.loader
            && self.resolve(loader).is_none()
        {
            let found = on_machine(loader, program.machine).ok_or_else(|| nowhere(loader))?;
            missing.push((loader.clone(), found));
        }
        let directories = directories(path, program);
        for name in &program.needed {
            let places: Vec<String> = directories.iter().map(|folder| format!("{folder}/{name}")).collect();
            if places.iter().any(|place| self.resolve(place).is_some()) {
                continue;
            }
            let found = places.into_iter().find_map(|place| {
                let content = on_machine(&place, program.machine)?;
                Some((place, content))
            });
            missing.push(found.ok_or_else(|| nowhere(name))?);
        }
        Ok(missing)
    }
}

/// A file of an image that may be a program or library.
fn program(path: &str, node: &Node) -> Option<(String, Content)> {
    match node {
        Node::File(mode, content) if mode & RUN_MODE != 0 || path.contains(".so") => {
            Some((path.to_owned(), content.clone()))
        }
        _ => None,
    }
}

/// The directories in which a program's libraries are searched.
fn directories(path: &str, program: &Program) -> Vec<String> {
    let own = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = format!("/{own}");
    let search = program.search.iter().map(|folder| {
        folder.replace("${ORIGIN}", &own).replace("$ORIGIN", &own).trim_end_matches('/').to_owned()
    });
    let usual = DIRECTORIES.iter().map(|folder| format!("{folder}/{}", program.machine.folder));
    let others = OTHER_DIRECTORIES.iter().map(|folder| (*folder).to_owned());
    search.filter(|folder| folder.starts_with('/')).chain(usual).chain(others).collect()
}

/// A library of this machine for a processor.
fn on_machine(place: &str, machine: Machine) -> Option<Content> {
    let path: PathBuf = Path::new(place).canonicalize().ok().filter(|path| path.is_file())?;
    let content = Content::Of(path);
    let library = elf::read(&content.read().ok()?).ok()??;
    (library.machine == machine).then_some(content)
}
