// The Rate tab: what the browser keeps, and how it speaks with the server at rate/api/.
// Runs with `element` of the part #rate-item, each time it is mounted.
const CODE = "guardui-rate-code", STUDY = "guardui-rate-study", KEYS_OFF = "guardui-rate-keys-off";
const DRAFT = "guardui-rate-draft-", PLACE = "guardui-rate-place", UNSENT = "guardui-rate-unsent";
const JOINING = "guardui-rate-joining";
// Milliseconds: until a request is given up, between two tries, until a draft is sent, and within
// which a second press of the same key can't have been meant.
const PATIENCE = 20_000, FIRST_WAIT = 500, LONGEST_WAIT = 15_000, TYPING = 700, DOUBLE = 400;
const AGAIN = "Not saved yet – trying again", OFFLINE = "No connection – trying again";
// After these the server has another screen than the one that is shown.
const MOVED_ON = ["closed", "paused", "stopped", "withdrawn", "cap", "unknown", "not_yours"];

const app = () => document.getElementById("rate-app");
const find = (query) => app()?.querySelector(query);
const shown = () => Boolean(app()?.offsetParent);

// A store refuses in some private windows: the page then goes on without.
const stored = (store, key) => {
  try {
    return JSON.parse(store.getItem(key));
  } catch {
    return null;
  }
};
const store = (where, key, value) => {
  try {
    if (value === null) where.removeItem(key);
    else where.setItem(key, JSON.stringify(value));
  } catch (error) {
    console.warn("nothing can be kept in this browser", error);
  }
};

// One random word until somebody has joined, also over a reload.
const nonce = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const known = stored(sessionStorage, JOINING) ?? [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  store(sessionStorage, JOINING, known);
  return known;
};

// A personal link. What stands behind the # is sent to nobody.
const linkOf = (code) => `${new URL("?tab=rate#rate=", location.href)}${code}`;

class Refused extends Error {
  constructor(code, sentence) {
    super(sentence);
    this.code = code;
  }
}

class Talk {
  wake = []; // ends the waits between two tries
  as = null; // {code}: shown in place of what is kept, which stays until it is known to be good

  async send(act, body, more = {}) {
    const headers = { "Content-Type": "application/json" };
    const code = this.as ? this.as.code : stored(localStorage, CODE);
    const study = this.as ? null : stored(localStorage, STUDY);
    if (code) headers.Authorization = `Bearer ${code}`;
    const response = await fetch(new URL(`rate/api/${act}`, location.href), {
      method: "POST",
      headers,
      body: JSON.stringify(study ? { study, ...body } : body),
      signal: AbortSignal.timeout(PATIENCE),
      ...more,
    });
    const said = await response.json(); // a proxy's page is no JSON, and so a reason to try again
    if (response.ok) return said;
    if (response.status < 500 && said.code) throw new Refused(said.code, said.error);
    throw new Error(`${response.status}`);
  }

  // Until the server answers, whatever comes between: sleep, no network, a restart.
  async insist(act, body, waiting) {
    for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        return await this.send(act, body);
      } catch (error) {
        if (error instanceof Refused) throw error;
        waiting();
        await this.pause(wait);
      }
    }
  }

  // Of uneven length, or all pages would come at once to a server that is back.
  pause(milliseconds) {
    return new Promise((resolve) => {
      setTimeout(resolve, milliseconds * (0.5 + Math.random()));
      this.wake.push(resolve);
    });
  }

  hurry() {
    this.wake.splice(0).forEach((resolve) => resolve());
  }
}
