(() => {
  // What a page says reaches the application that shows it: iOS and macOS by one way, Android by another.
  const post = (payload) => {
    try {
      const text = typeof payload === "string" ? payload : JSON.stringify(payload);
      const apple = window.webkit?.messageHandlers?.clawdbotCanvasA2UIAction;
      if (typeof apple?.postMessage === "function") {
        apple.postMessage(text);
        return true;
      }
      const android = window.clawdbotCanvasA2UIAction;
      if (typeof android?.postMessage === "function") {
        android.postMessage(text);
        return true;
      }
    } catch {}
    return false;
  };
  const newId = () => {
    try {
      return crypto.randomUUID();
    } catch {
      return String(Date.now());
    }
  };
  const sendUserAction = (action) => {
    const given = typeof action?.id === "string" ? action.id.trim() : "";
    return post({ userAction: { ...action, id: given || newId() } });
  };
  window.Clawdbot = Object.assign(window.Clawdbot ?? {}, { postMessage: post, sendUserAction });
  window.clawdbotPostMessage = post;
  window.clawdbotSendUserAction = sendUserAction;
})();
