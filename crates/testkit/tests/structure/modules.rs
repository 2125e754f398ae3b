//! The modules of a crate, and which files take names from which.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

/// Which files a file takes names from, and which names these are.
pub type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// How the text of a file is had; `None` where there is no such file.
pub type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// Aliases that lead to each other are followed so far.
const DEPTH: usize = 12;

/// The files of the crate with this root, and what they import of each other. What is compiled for tests only does not
/// count; nor does a `pub use`, which hands a name on: whoever uses the name there takes it from where it is defined.
///
/// # Panics
/// When a file is not Rust, or a module has no file.
pub fn imports(root: &Path, read: Read<'_>) -> Imports {
    let mut modules = Modules { all: Vec::new(), read };
    modules.file(root.to_owned(), None, root.parent().unwrap_or(root).to_owned());
    let mut found = Imports::new();
    for (number, module) in modules.all.iter().enumerate() {
        let taken = found.entry(module.file.clone()).or_default();
        for path in &module.mentions {
            if let Some(Found::Item(definer, name)) = modules.resolve(number, path, DEPTH)
                && modules.all[definer].file != module.file
            {
                taken.entry(modules.all[definer].file.clone()).or_default().insert(name);
            }
        }
    }
    found
}

/// A module, in a file of its own or within one.
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    names: HashMap<String, Vec<Name>>,
    /// What `use PATH::*` names.
    globs: Vec<Vec<String>>,
    /// Paths in its code and in its private imports.
    mentions: Vec<Vec<String>>,
}

/// What a name stands for.
enum Name {
    Module(usize),
    /// Something that the module defines.
    Item,
    /// A path that is imported under this name.
    Alias(Vec<String>),
}

/// Where a path leads.
enum Found {
    Module(usize),
    /// The module that defines it, and its name there.
    Item(usize, String),
}

struct Modules<'a> {
    all: Vec<Module>,
    read: Read<'a>,
}

impl Modules<'_> {
    /// Takes in a file whose modules are in files of this folder.
    fn file(&mut self, file: PathBuf, parent: Option<usize>, folder: PathBuf) -> usize {
        let text = (self.read)(&file).unwrap_or_else(|| panic!("there is no file {}", file.display()));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.module(&syntax.items, file, parent, &folder)
    }

    fn module(&mut self, items: &[Item], file: PathBuf, parent: Option<usize>, folder: &Path) -> usize {
        let number = self.all.len();
        let empty = Module {
            file: file.clone(),
            parent,
            names: HashMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
        };
        self.all.push(empty);
        for item in items {
            if let Item::Mod(inner) = item
                && !is_for_tests(&inner.attrs)
            {
                let child = self.inner(inner, &file, number, folder);
                self.all[number].name(inner.ident.to_string(), Name::Module(child));
            }
        }
        let mut reader = Reader { module: &mut self.all[number] };
        items.iter().for_each(|item| reader.visit_item(item));
        number
    }

    fn inner(&mut self, module: &ItemMod, file: &Path, parent: usize, folder: &Path) -> usize {
        let name = module.ident.to_string();
        let below = folder.join(&name);
        if let Some((_, items)) = &module.content {
            return self.module(items, file.to_owned(), Some(parent), &below);
        }
        let beside = folder.join(format!("{name}.rs"));
        let is_beside = (self.read)(&beside).is_some();
        self.file(if is_beside { beside } else { below.join("mod.rs") }, Some(parent), below)
    }

    /// Where a path leads that stands in a module; `None` out of the crate.
    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(0, rest, depth),
            "self" => self.walk(module, rest, depth),
            "super" => {
                let mut module = self.all[module].parent?;
                let mut rest = rest;
                while let Some(("super", further)) = rest.split_first().map(|(first, rest)| (&**first, rest))
                {
                    (module, rest) = (self.all[module].parent?, further);
                }
                self.walk(module, rest, depth)
            }
            _ => self.walk(module, path, depth),
        }
    }

    /// Where a path leads from a module on down.
    fn walk(&self, module: usize, path: &[String], depth: usize) -> Option<Found> {
        let Some((name, rest)) = path.split_first() else { return Some(Found::Module(module)) };
        let depth = depth.checked_sub(1)?;
        let named = self.all[module].names.get(name).into_iter().flatten();
        // A module and an item may have the same name: what is looked into is the module.
        let (modules, others): (Vec<&Name>, Vec<&Name>) =
            named.partition(|name| matches!(name, Name::Module(_)));
        let order = if rest.is_empty() { [others, modules] } else { [modules, others] };
        let found = order.into_iter().flatten().find_map(|one| match one {
            Name::Module(inner) => self.walk(*inner, rest, depth),
            Name::Item => Some(Found::Item(module, name.clone())),
            Name::Alias(path) => match self.resolve(module, path, depth)? {
                Found::Module(inner) => self.walk(inner, rest, depth),
                item @ Found::Item(..) => Some(item),
            },
        });
        found.or_else(|| {
            self.all[module].globs.iter().find_map(|glob| match self.resolve(module, glob, depth)? {
                Found::Module(inner) if inner != module => self.walk(inner, path, depth),
                _ => None,
            })
        })
    }
}

impl Module {
    fn name(&mut self, name: String, what: Name) {
        self.names.entry(name).or_default().push(what);
    }

    fn import(&mut self, tree: &UseTree, path: &mut Vec<String>, is_private: bool) {
        let (last, alias) = match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.import(&inner.tree, path, is_private);
                path.pop();
                return;
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, path, is_private));
                return;
            }
            UseTree::Glob(_) => {
                self.globs.push(path.clone());
                return;
            }
            UseTree::Name(name) => (name.ident.to_string(), None),
            UseTree::Rename(rename) => (rename.ident.to_string(), Some(rename.rename.to_string())),
        };
        let mut whole = path.clone();
        if last != "self" {
            whole.push(last);
        }
        let Some(name) = alias.or_else(|| whole.last().cloned()) else { return };
        if is_private {
            self.mentions.push(whole.clone());
        }
        self.name(name, Name::Alias(whole));
    }
}

/// Reads what the items of a module define and mention.
struct Reader<'a> {
    module: &'a mut Module,
}

impl Reader<'_> {
    /// Paths within a macro, whose syntax is its own.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) if colons == 2 => {
                    path.push(word.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                _ => {}
            }
            self.module.mentions.push(std::mem::take(&mut path));
            colons = 0;
            match token {
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
        }
        self.module.mentions.push(path);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            // Read as a module of its own.
            Item::Mod(_) => return,
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::TraitAlias(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Use(item) => (&item.attrs, None),
            _ => return,
        };
        if is_for_tests(attributes) {
            return;
        }
        if let Some(name) = name {
            self.module.name(name.to_string(), Name::Item);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            let is_private = matches!(item.vis, Visibility::Inherited);
            self.module.import(&item.tree, &mut Vec::new(), is_private);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.module
                .mentions
                .push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, found: &'ast Macro) {
        self.visit_path(&found.path);
        self.tokens(found.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// Whether an item is compiled for tests only.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = attribute.meta.require_list().ok().filter(|list| list.path.is_ident("cfg"));
        condition.is_some_and(|list| list.tokens.to_string() == "test")
    })
}
