// Keep the token of the address in this window, where no other page can read it, and say it first
// through the websocket. It leaves the address bar at once.
(() => {
  const KEY = "vld-token";

  function take() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given !== null) {
      sessionStorage.setItem(KEY, given);
      history.replaceState(null, "", location.pathname);
    }
    return given !== null;
  }

  take();
  addEventListener("hashchange", () => take() && location.reload());

  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener("open", () => {
        this.send(JSON.stringify(["token", sessionStorage.getItem(KEY) ?? ""]));
      });
      this.addEventListener("close", (event) => {
        if (event.reason) document.querySelector(".closed div").textContent = event.reason;
      });
    }
  };
})();
