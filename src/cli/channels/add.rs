//! `channels add` and `channels remove`: accounts in the configuration file (cli.md §15). A running gateway notices the edit.

use std::io::{self, BufRead as _, Write as _};

use argh::{ArgsInfo, FromArgs};
use serde_json::{Map, Value, json};

use crate::channels::channel::{Channel, DEFAULT_ACCOUNT};
use crate::channels::{self, normalize};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Cli, Command, output};
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
        let channel = named(self.channel.as_deref())?;
        let account = account_id(self.account.as_deref());
        let id = channel.info().id;
        let mut own = Map::from_iter([("enabled".to_owned(), Value::Bool(true))]);
        if let Some(name) = self.name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
            own.insert("name".to_owned(), name.into());
        }
        match id {
            "telegram" => {
                if self.use_env && account != DEFAULT_ACCOUNT {
                    let text = "TELEGRAM_BOT_TOKEN can only be used for the default account.";
                    return Err(Failure::text(text));
                }
                match (&self.token_file, &self.token) {
                    _ if self.use_env => {}
                    (Some(file), _) => drop(own.insert("tokenFile".to_owned(), file.as_str().into())),
                    (None, Some(token)) => drop(own.insert("botToken".to_owned(), token.as_str().into())),
                    (None, None) => {
                        return Err(Failure::text("Telegram requires token or --token-file (or --use-env)."));
                    }
                }
            }
            _ => {
                if let Some(dir) = &self.auth_dir {
                    own.insert("authDir".to_owned(), dir.as_str().into());
                }
            }
        }
        let is_base = id == "telegram" && account == DEFAULT_ACCOUNT;
        edit(cli, id, |section| {
            if is_base {
                let has_accounts = section.get("accounts").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
                // Two sources of one token would leave open which is meant.
                for key in ["botToken", "tokenFile"].iter().filter(|_| !self.use_env) {
                    section.shift_remove(*key);
                }
                let name = if has_accounts { own.shift_remove("name") } else { None };
                section.extend(own);
                if let Some(name) = name {
                    entry(section, DEFAULT_ACCOUNT).insert("name".to_owned(), name);
                }
                return;
            }
            section.insert("enabled".to_owned(), true.into());
            if let Some(name) = section.shift_remove("name") {
                entry(section, DEFAULT_ACCOUNT).entry("name").or_insert(name);
            }
            let place = entry(section, &account);
            for key in ["botToken", "tokenFile"] {
                place.shift_remove(key);
            }
            place.extend(own);
        })?;
        output::line(&format!("Added {} account \"{account}\".", channel.info().label));
        Ok(())
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
        if !self.delete && !confirms(&format!("Disable {label} account \"{account}\"? (keeps config)")) {
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
                (None, true) if account == DEFAULT_ACCOUNT => {
                    for key in ["botToken", "tokenFile", "name"] {
                        section.shift_remove(key);
                    }
                    section.insert("enabled".to_owned(), false.into());
                }
                (None, true) => {}
                (None, false) if account == DEFAULT_ACCOUNT => drop(section.insert("enabled".to_owned(), false.into())),
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

fn account_id(given: Option<&str>) -> String {
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

fn confirms(question: &str) -> bool {
    print!("{question} [y/N] ");
    // A closed output shows at the next line anyway.
    let _ = io::stdout().flush();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}
