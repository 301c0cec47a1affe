// Deploying a function, or a new version of one, and deleting it.

import * as api from "./api.js";
import { byId, element } from "./dom.js";
import * as format from "./format.js";
import { SettingsFields } from "./settings.js";
import { failed } from "./result.js";

export class Deploy {
  /** `changed` is called when the server has other functions than before. */
  constructor(changed) {
    this.changed = changed;
    this.versions = new Map();
    this.settings = new SettingsFields(byId("deploy-settings").querySelector(".settings"));
    this.file = byId("deploy-file");
    this.name = byId("deploy-name");
    this.button = byId("deploy-send");
    this.result = byId("deploy-result");
    this.file.addEventListener("change", () => this.suggest());
    this.name.addEventListener("input", () => this.announce());
    byId("deploy").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  /** Takes the functions that there are. */
  know(descriptions) {
    this.versions = new Map(descriptions.map(({ name, version }) => [name, version]));
    this.announce();
  }

  /** Prepares a new version of a function, with the settings that it has. */
  prepare({ name, settings }) {
    this.name.value = name;
    this.settings.fill(settings);
    byId("deploy-settings").open = true;
    this.announce();
    byId("deploy-heading").scrollIntoView();
    this.file.focus();
  }

  /** Suggests the file's name as the function's. */
  suggest() {
    const [file] = this.file.files;
    if (file === undefined || this.name.value !== "") return;
    const stem = file.name.replace(/\.[^.]*$/, "").toLowerCase();
    this.name.value = stem.replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-+|-+$/g, "").slice(0, 63);
    this.announce();
  }

  /** Says on the button whether a function will be replaced. */
  announce() {
    const name = this.name.value;
    this.button.textContent = this.versions.has(name) ? `Deploy a new version of ${name}` : "Deploy";
  }

  async send() {
    this.button.disabled = true;
    this.result.replaceChildren(element("p", {}, "Uploading…"));
    try {
      const { name, kind, version, bytes } = await api.deploy(this.name.value, this.settings.query(), this.file.files[0]);
      const text = `${name} is deployed: version ${version}, a ${kind} of ${format.bytes(bytes)}.`;
      this.result.replaceChildren(element("p", { class: "good" }, text));
      byId("deploy").reset();
      this.changed();
    } catch (error) {
      this.result.replaceChildren(failed("It was not deployed", error));
    }
    this.button.disabled = false;
    this.announce();
  }
}

/** Asks, and deletes a function. */
export function remove({ name }, changed) {
  const dialog = byId("delete");
  byId("delete-question").textContent = `Delete the function ${name}?`;
  dialog.returnValue = "";
  dialog.onclose = async () => {
    if (dialog.returnValue !== "delete") return;
    try {
      await api.remove(name);
    } catch (error) {
      byId("deploy-result").replaceChildren(failed(`${name} was not deleted`, error));
      byId("deploy-heading").scrollIntoView();
    }
    changed();
  };
  dialog.showModal();
}
