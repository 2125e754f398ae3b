//! What one writer was told by the server, kept apart from it, and compared with what the server has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use everynode_client::{Client, content_type};
use serde_json::{Value, json};

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Objects of a writer, which it creates, changes and deletes again and again.
const NAMES: usize = 12;

/// The number that stands in an object, or none when there is no such object.
type State = Option<u64>;

#[derive(Default)]
pub struct Ledger {
    prefix: String,
    /// What was acknowledged last.
    certain: BTreeMap<String, State>,
    /// The write that was under way when the server died; it may be done or not.
    doubtful: Option<(String, State)>,
    next: u64,
    pub acknowledged: u64,
}

impl Ledger {
    pub fn new(writer: usize) -> Ledger {
        Ledger { prefix: format!("w{writer}-"), ..Ledger::default() }
    }

    /// The next write: to which object, what is there, what shall be.
    fn begin(&mut self, random: &mut fastrand::Rng) -> (String, State, State) {
        let name = format!("{}{}", self.prefix, random.usize(0..NAMES));
        let before = self.certain.get(&name).copied().flatten();
        self.next += 1;
        let after = if before.is_some() && random.u8(0..4) == 0 { None } else { Some(self.next) };
        self.doubtful = Some((name.clone(), after));
        (name, before, after)
    }

    fn acknowledge(&mut self) {
        if let Some((name, state)) = self.doubtful.take() {
            self.certain.insert(name, state);
            self.acknowledged += 1;
        }
    }

    /// Compares with a list that the server gave after a crash, and goes on from that.
    pub fn check(&mut self, list: &Value, crash: u64) {
        let mut found = BTreeMap::new();
        for item in list["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            if !name.starts_with(&self.prefix) {
                continue;
            }
            let number: u64 = item["data"]["number"].as_str().unwrap().parse().unwrap();
            assert_eq!(item["data"], data(number), "after crash {crash} {name} is served wrong");
            found.insert(name.to_owned(), number);
        }
        if let Some((name, state)) = self.doubtful.take()
            && found.get(&name).copied() == state
        {
            self.certain.insert(name, state);
        }
        let there = self.certain.iter().filter_map(|(name, state)| Some((name.clone(), (*state)?)));
        let expected: BTreeMap<String, u64> = there.collect();
        assert_eq!(found, expected, "after crash {crash} the objects are not those that were acknowledged");
    }
}

/// All of it follows from the number, so that damage to any of it shows.
fn data(number: u64) -> Value {
    let text = fastrand::Rng::with_seed(number).u64(..).to_string().repeat(number as usize % 150);
    json!({"number": number.to_string(), "text": text})
}

/// Writes until the server is gone.
pub async fn write(client: Client, ledger: Arc<Mutex<Ledger>>, mut random: fastrand::Rng) {
    loop {
        let (name, before, after) = ledger.lock().unwrap().begin(&mut random);
        let path = format!("{CONFIG_MAPS}/{name}");
        let done = match (before, after) {
            (None, Some(number)) => {
                let object = json!({"metadata": {"name": name}, "data": data(number)});
                client.post(CONFIG_MAPS, object.to_string()).await
            }
            (_, Some(number)) => {
                let patch = json!({"data": data(number)});
                client.patch(&path, content_type::MERGE_PATCH, patch.to_string()).await
            }
            (_, None) => client.delete(&path, "").await,
        };
        match done {
            Ok(_) => ledger.lock().unwrap().acknowledge(),
            Err(error) if error.status().is_none() => return,
            Err(error) => panic!("{name} from {before:?} to {after:?}: {error}"),
        }
    }
}
