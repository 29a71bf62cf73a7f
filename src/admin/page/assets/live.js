// Is what is shown alive? Incidents come as server-sent events; all else is asked for every few seconds. Whoever looks is told
// which of both works, and how old what is shown is.

import { age } from './format.js';
import { address } from './api.js';

/** After an answer that ends the stream for good, the browser does not come back by itself. */
const COME_BACK_MS = 5000;

export class Live {
  #stream = null;
  #streaming = false;
  #loaded = null;
  #cutSince = null;
  #show;
  #changed;

  /** `changed()`: an incident changed, or the stream broke; `show({state, text})`: what to tell, each second. */
  constructor(changed, show) {
    this.#changed = changed;
    this.#show = show;
    this.#watch();
    document.addEventListener('visibilitychange', () => this.#watch());
    setInterval(() => this.#tell(), 1000);
  }

  /** A page that nobody sees holds no stream: a browser has only a few connections to one server. */
  #watch() {
    if (document.hidden) this.#close();
    else if (this.#stream === null) this.#open();
  }

  #close() {
    this.#stream?.close();
    this.#stream = null;
    this.#streaming = false;
  }

  #open() {
    this.#stream = new EventSource(address('/incidents/stream'));
    this.#stream.onopen = () => this.#streams(true);
    this.#stream.onerror = () => {
      // Whether only the stream is gone, or all of it, is known once it was asked.
      if (this.#streaming) this.#changed();
      this.#streams(false);
      if (this.#stream?.readyState === EventSource.CLOSED) {
        this.#close();
        setTimeout(() => this.#watch(), COME_BACK_MS);
      }
    };
    for (const name of ['reset', 'incident']) {
      this.#stream.addEventListener(name, (event) => {
        this.#streams(true);
        this.#changed();
      });
    }
  }

  #streams(now) {
    this.#streaming = now;
    this.#tell();
  }

  /** The page was answered; what it shows was observed so many seconds before. */
  answered(ageSeconds) {
    this.#loaded = { at: performance.now(), age: ageSeconds ?? 0 };
    this.#cutSince = null;
    this.#tell();
  }

  /** Nobody answered. */
  cut() {
    this.#cutSince ??= performance.now();
    this.#tell();
  }

  #tell() {
    const now = performance.now();
    const shown = this.#loaded ? `${age((now - this.#loaded.at) / 1000 + this.#loaded.age)} old` : 'nothing shown yet';
    if (this.#cutSince !== null) {
      const text = `Cut off for ${age((now - this.#cutSince) / 1000)}. What is shown is ${shown}. Trying again.`;
      this.#show({ state: 'cut', word: 'Cut off', shown, text });
    } else if (this.#streaming) {
      this.#show({ state: 'live', word: 'Live', shown, text: null });
    } else {
      this.#show({ state: 'polling', word: 'Polling', shown, text: null });
    }
  }
}
