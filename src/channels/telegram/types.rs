//! What the Bot API tells, as far as it matters here. Fields that are not named are skipped; none that may be missing is
//! required.

use serde::Deserialize;

/// The number of an `Update`, also of one that is not understood.
#[derive(Debug, Deserialize)]
pub struct Numbered {
    /// Number.
    pub update_id: i64,
}

/// `User`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct User {
    /// Id.
    pub id: i64,
    /// Whether it is a program.
    #[serde(default)]
    pub is_bot: bool,
    /// First name.
    #[serde(default)]
    pub first_name: String,
    /// Last name.
    pub last_name: Option<String>,
    /// Handle.
    pub username: Option<String>,
    /// Of `getMe`.
    pub can_join_groups: Option<bool>,
    /// Of `getMe`.
    pub can_read_all_group_messages: Option<bool>,
    /// Of `getMe`.
    pub supports_inline_queries: Option<bool>,
    /// Of `getMe`: whether private chats have topics.
    pub has_topics_enabled: Option<bool>,
}

impl User {
    /// Returns the name for people: first and last name, else the handle.
    pub fn name(&self) -> Option<String> {
        let name = [Some(self.first_name.as_str()), self.last_name.as_deref()];
        let name = name.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        name.or_else(|| self.username.clone())
    }
}

/// `Chat`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Chat {
    /// Id.
    pub id: i64,
    /// `private`, `group`, `supergroup`, `channel`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Title.
    pub title: Option<String>,
    /// Handle.
    pub username: Option<String>,
    /// Whether it has topics.
    #[serde(default)]
    pub is_forum: bool,
}

/// `MessageEntity`; offsets in UTF-16 units.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Entity {
    /// Kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it begins.
    pub offset: usize,
    /// How long it is.
    pub length: usize,
    /// Of `text_link`.
    pub url: Option<String>,
}

/// Any file: photo size, video, voice …
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct File {
    /// Names it to `getFile`.
    pub file_id: String,
    /// Size.
    pub file_size: Option<u64>,
    /// Type.
    pub mime_type: Option<String>,
    /// Name.
    pub file_name: Option<String>,
    /// Of `getFile`: where it is.
    pub file_path: Option<String>,
    /// Of a sticker.
    pub emoji: Option<String>,
    /// Of a sticker.
    #[serde(default)]
    pub is_animated: bool,
    /// Of a sticker.
    #[serde(default)]
    pub is_video: bool,
}

/// `Location`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres.
    pub horizontal_accuracy: Option<f64>,
    /// Seconds.
    pub live_period: Option<u64>,
}

/// `Venue`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Venue {
    /// Where.
    pub location: Location,
    /// Name.
    pub title: Option<String>,
    /// Address.
    pub address: Option<String>,
}

/// `Contact`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Contact {
    /// Number.
    #[serde(default)]
    pub phone_number: String,
    /// Name.
    #[serde(default)]
    pub first_name: String,
    /// Name.
    pub last_name: Option<String>,
}

/// `MessageOrigin`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// `user`, `hidden_user`, `chat`, `channel`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, in seconds.
    pub date: Option<u64>,
    /// Of `user`.
    pub sender_user: Option<User>,
    /// Of `hidden_user`.
    pub sender_user_name: Option<String>,
    /// Of `chat`.
    pub sender_chat: Option<Chat>,
    /// Of `channel`.
    pub chat: Option<Chat>,
    /// Of `chat` and `channel`.
    pub author_signature: Option<String>,
}

/// `TextQuote`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Quote {
    /// What is quoted.
    #[serde(default)]
    pub text: String,
}

/// `Message`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Id within the chat; 0 for one that cannot be reached any more.
    pub message_id: i64,
    /// Topic.
    pub message_thread_id: Option<i64>,
    /// When, in seconds.
    pub date: u64,
    /// Who.
    pub from: Option<User>,
    /// Who, when it speaks as a chat.
    pub sender_chat: Option<Chat>,
    /// Where.
    pub chat: Chat,
    /// Text.
    pub text: Option<String>,
    /// Marks in the text.
    pub entities: Vec<Entity>,
    /// Text below media.
    pub caption: Option<String>,
    /// Marks in it.
    pub caption_entities: Vec<Entity>,
    /// Sizes of one picture.
    pub photo: Vec<File>,
    /// Media.
    pub video: Option<File>,
    /// Media.
    pub video_note: Option<File>,
    /// Media.
    pub audio: Option<File>,
    /// Media.
    pub voice: Option<File>,
    /// Media; also beside an animation.
    pub document: Option<File>,
    /// Media.
    pub sticker: Option<File>,
    /// Place.
    pub location: Option<Location>,
    /// Place with a name.
    pub venue: Option<Venue>,
    /// A person.
    pub contact: Option<Contact>,
    /// Album.
    pub media_group_id: Option<String>,
    /// What it answers.
    pub reply_to_message: Option<Box<Message>>,
    /// The words that it answers.
    pub quote: Option<Quote>,
    /// Where it was passed on from.
    pub forward_origin: Option<Origin>,
    /// The same, of older servers.
    pub forward_from: Option<User>,
    /// The same.
    pub forward_from_chat: Option<Chat>,
    /// The same.
    pub forward_sender_name: Option<String>,
    /// The same.
    pub forward_signature: Option<String>,
    /// The same, in seconds.
    pub forward_date: Option<u64>,
    /// The group's new id.
    pub migrate_to_chat_id: Option<i64>,
}

/// `CallbackQuery`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CallbackQuery {
    /// Id.
    pub id: String,
    /// Who pressed.
    pub from: User,
    /// The message with the button.
    pub message: Option<Box<Message>>,
    /// What the button says to us.
    pub data: Option<String>,
}

/// `ReactionType`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReactionType {
    /// `emoji`, `custom_emoji`, `paid`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Of `emoji`.
    pub emoji: Option<String>,
}

/// `MessageReactionUpdated`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReactionUpdate {
    /// Where.
    pub chat: Chat,
    /// Which message.
    pub message_id: i64,
    /// Topic.
    pub message_thread_id: Option<i64>,
    /// Who.
    pub user: Option<User>,
    /// When, in seconds.
    pub date: u64,
    /// What was there.
    pub old_reaction: Vec<ReactionType>,
    /// What is there.
    pub new_reaction: Vec<ReactionType>,
}

/// `ChatMember`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Member {
    /// `creator`, `administrator`, `member`, `restricted`, `left`, `kicked`.
    pub status: String,
}

/// `ChatMemberUpdated`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MemberUpdate {
    /// Where.
    pub chat: Chat,
    /// Whose doing.
    pub from: User,
    /// What we are now.
    pub new_chat_member: Member,
}

/// `Update`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Update {
    /// Its number.
    pub update_id: i64,
    /// A message.
    pub message: Option<Box<Message>>,
    /// A button.
    pub callback_query: Option<Box<CallbackQuery>>,
    /// A reaction.
    pub message_reaction: Option<Box<ReactionUpdate>>,
    /// Our own membership.
    pub my_chat_member: Option<Box<MemberUpdate>>,
}

/// `WebhookInfo`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct WebhookInfo {
    /// Where updates go; empty without a webhook.
    pub url: String,
    /// Whether it has a certificate of its own.
    pub has_custom_certificate: bool,
}
