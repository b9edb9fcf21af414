//! `channels add` and `channels remove`: accounts in the configuration file (cli.md §15). A running gateway notices the edit.
//! Not here: the questions that `add` asks (`prompts`).

use argh::{ArgsInfo, FromArgs};
use serde_json::{Map, Value, json};

use super::prompts;
use crate::channels::channel::{Channel, Credentials, DEFAULT_ACCOUNT};
use crate::channels::{self, normalize};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Cli, Command, ask, output};
use crate::config::write;

/// add an account of a channel, or change it
#[derive(FromArgs, ArgsInfo)]
pub(in crate::cli) struct Add {
    /// channel
    #[argh(option, arg_name = "id")]
    channel: Option<String>,
    /// account (default: default)
    #[argh(option, arg_name = "id")]
    account: Option<String>,
    /// name for people
    #[argh(option, arg_name = "name")]
    name: Option<String>,
    /// bot token
    #[argh(option, arg_name = "token")]
    token: Option<String>,
    /// file with the bot token
    #[argh(option, arg_name = "path")]
    token_file: Option<String>,
    /// directory of the credentials (WhatsApp)
    #[argh(option, arg_name = "path")]
    auth_dir: Option<String>,
    /// take the token from the environment
    #[argh(switch)]
    use_env: bool,
}

impl Command for Add {
    fn run(self, cli: &Cli) -> Outcome {
        if self.is_bare() && ask::has_terminal() {
            return prompts::add(cli);
        }
        let channel = named(self.channel.as_deref())?;
        let account = account_id(self.account.as_deref());
        let given = Credentials {
            token: self.token.as_deref(),
            token_file: self.token_file.as_deref(),
            from_environment: self.use_env,
            auth_dir: self.auth_dir.as_deref(),
        };
        let new = New::of(channel, &account, self.name.as_deref(), &given).map_err(Failure::text)?;
        new.save(cli)?;
        output::line(&format!("Added {} account \"{account}\".", channel.info().label));
        Ok(())
    }
}

impl Add {
    fn is_bare(&self) -> bool {
        let texts = [&self.channel, &self.account, &self.name, &self.token, &self.token_file, &self.auth_dir];
        texts.iter().all(|text| text.is_none()) && !self.use_env
    }
}

/// An account that is added, or changed.
pub(super) struct New {
    pub(super) channel: &'static dyn Channel,
    pub(super) account: String,
    /// Its settings.
    pub(super) own: Map<String, Value>,
    /// Settings whose place these take: two sources of one token would leave open which is meant.
    replaced: &'static [&'static str],
}

impl New {
    /// Prepares one.
    ///
    /// # Errors
    /// What is missing, for people.
    pub(super) fn of(
        channel: &'static dyn Channel,
        account: &str,
        name: Option<&str>,
        given: &Credentials<'_>,
    ) -> Result<Self, String> {
        let mut own = Map::from_iter([("enabled".to_owned(), Value::Bool(true))]);
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
            own.insert("name".to_owned(), name.into());
        }
        own.extend(channel.settings_of(account, given)?);
        let keys = channel.joining().map_or(&[][..], |joining| joining.keys);
        let replaced = if keys.iter().any(|key| own.contains_key(*key)) { keys } else { &[] };
        Ok(Self { channel, account: account.to_owned(), own, replaced })
    }

    /// Prepares the change of one that keeps what it is linked by.
    pub(super) fn kept(channel: &'static dyn Channel, account: &str) -> Self {
        let own = Map::from_iter([("enabled".to_owned(), Value::Bool(true))]);
        Self { channel, account: account.to_owned(), own, replaced: &[] }
    }

    /// Writes it into the section of its channel.
    pub(super) fn put(&self, section: &mut Map<String, Value>) {
        let mut own = self.own.clone();
        if self.channel.is_base(&self.account) {
            let has_accounts = section.get("accounts").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
            for key in self.replaced {
                section.shift_remove(*key);
            }
            let name = if has_accounts { own.shift_remove("name") } else { None };
            section.extend(own);
            if let Some(name) = name {
                entry(section, DEFAULT_ACCOUNT).insert("name".to_owned(), name);
            }
            return;
        }
        // A network without settings of its own has no switch of its own either.
        if self.channel.is_base(DEFAULT_ACCOUNT) {
            section.insert("enabled".to_owned(), true.into());
        }
        if let Some(name) = section.shift_remove("name") {
            entry(section, DEFAULT_ACCOUNT).entry("name").or_insert(name);
        }
        let place = entry(section, &self.account);
        for key in self.replaced {
            place.shift_remove(*key);
        }
        place.extend(own);
    }

    /// Writes it into the configuration file.
    pub(super) fn save(&self, cli: &Cli) -> Outcome {
        edit(cli, self.channel.info().id, |section| self.put(section))
    }
}

/// switch an account of a channel off, or forget it
#[derive(FromArgs, ArgsInfo)]
pub(in crate::cli) struct Remove {
    /// channel
    #[argh(option, arg_name = "id")]
    channel: Option<String>,
    /// account (default: default)
    #[argh(option, arg_name = "id")]
    account: Option<String>,
    /// forget its settings, without asking
    #[argh(switch)]
    delete: bool,
}

impl Command for Remove {
    fn run(self, cli: &Cli) -> Outcome {
        let channel = named(self.channel.as_deref())?;
        let account = account_id(self.account.as_deref());
        let label = channel.info().label;
        if !self.delete && !ask::confirm(&format!("Disable {label} account \"{account}\"? (keeps config)"), false) {
            output::line("Cancelled.");
            return Ok(());
        }
        let id = channel.info().id;
        let is_delete = self.delete;
        edit(cli, id, |section| {
            let accounts = section.get_mut("accounts").and_then(Value::as_object_mut);
            let named = accounts.filter(|accounts| accounts.contains_key(&account));
            match (named, is_delete) {
                (Some(accounts), true) => drop(accounts.shift_remove(&account)),
                (Some(accounts), false) => accounts[&account]["enabled"] = false.into(),
                (None, true) if channel.is_base(&account) => {
                    let keys = channel.joining().map_or(&[][..], |joining| joining.keys);
                    for key in keys.iter().chain(&["name"]) {
                        section.shift_remove(*key);
                    }
                    section.insert("enabled".to_owned(), false.into());
                }
                (None, true) => {}
                (None, false) if channel.is_base(&account) => drop(section.insert("enabled".to_owned(), false.into())),
                (None, false) => drop(entry(section, &account).insert("enabled".to_owned(), false.into())),
            }
        })?;
        let verb = if self.delete { "Deleted" } else { "Disabled" };
        output::line(&format!("{verb} {label} account \"{account}\"."));
        Ok(())
    }
}

fn named(given: Option<&str>) -> Result<&'static dyn Channel, Failure> {
    let given = given.map(str::trim).filter(|given| !given.is_empty());
    let given = given.ok_or_else(|| Failure::text("Channel is required. Use --channel <name>."))?;
    let id = normalize(given).ok_or_else(|| Failure::text(format!("Unknown channel: {given}")))?;
    channels::all()
        .find(|channel| channel.info().id == id)
        .ok_or_else(|| Failure::text(format!("Channel {id} does not support add.")))
}

pub(super) fn account_id(given: Option<&str>) -> String {
    let given = given.map(str::trim).filter(|given| !given.is_empty());
    given.map_or_else(
        || DEFAULT_ACCOUNT.to_owned(),
        |given| crate::agent::session::normalize_agent_id(given).to_string(),
    )
}

fn entry<'a>(section: &'a mut Map<String, Value>, account: &str) -> &'a mut Map<String, Value> {
    let accounts = section.entry("accounts").or_insert_with(|| json!({}));
    if !accounts[account].is_object() {
        accounts[account] = json!({});
    }
    accounts[account].as_object_mut().expect("made above")
}

fn edit(cli: &Cli, channel: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Outcome {
    write::edit(&cli.paths, |tree| {
        if !tree["channels"][channel].is_object() {
            tree["channels"][channel] = json!({});
        }
        let section = tree["channels"][channel].as_object_mut().ok_or("channels is no object")?;
        change(section);
        Ok(())
    })
    .map_err(Failure::error)?;
    Ok(())
}
