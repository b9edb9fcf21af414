(() => {
  try {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/__clawdbot/ws`);
    socket.onmessage = (event) => {
      if (event.data === "reload") location.reload();
    };
  } catch {}
})();
