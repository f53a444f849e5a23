// Every page works without this: it asks again while a slider moves, takes what is dropped, and follows a running study.
(() => {
  "use strict";
  const fetched = async (address, options = {}) => {
    const answer = await fetch(address, { ...options, headers: { "X-Fragment": "1" } });
    return answer.text();
  };
  const fill = (place, text) => {
    place.innerHTML = text;
    dress(place);
  };

  const say = (input) => {
    const output = input.form && input.form.querySelector(`output[data-of="${input.name}"]`);
    if (output) output.textContent = input.value;
  };

  const live = (form) => {
    const place = document.getElementById(form.dataset.live);
    let waiting = 0, asked = 0;
    form.addEventListener("input", (event) => {
      say(event.target);
      clearTimeout(waiting);
      waiting = setTimeout(async () => {
        const mine = ++asked;
        const query = new URLSearchParams(new FormData(form)).toString();
        const text = await fetched(`${location.pathname}?${query}`);
        if (mine !== asked) return;  // a later question is on its way
        fill(place, text);
        history.replaceState(null, "", `?${query}`);
      }, 120);
    });
  };

  const drop = (form) => {
    const place = document.getElementById(form.dataset.drop);
    const input = form.querySelector('input[type="file"]');
    const ask = async () => {
      if (!input.files.length) return;
      const working = document.createElement("p");
      working.className = "working";
      working.textContent = form.dataset.working;
      place.replaceChildren(working);
      try {
        fill(place, await fetched(form.action, { method: "POST", body: new FormData(form) }));
      } catch (error) {
        working.textContent = String(error);
      }
    };
    form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
    input.addEventListener("change", ask);
    ["dragenter", "dragover"].forEach((name) => form.addEventListener(name, (event) => { event.preventDefault(); form.classList.add("over"); }));
    ["dragleave", "drop"].forEach((name) => form.addEventListener(name, () => form.classList.remove("over")));
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      if (!event.dataTransfer.files.length) return;
      const one = new DataTransfer();
      one.items.add(event.dataTransfer.files[0]);
      input.files = one.files;
      ask();
    });
  };

  const refresh = (place) => {
    const again = async () => {
      let text = "";
      try { text = await fetched(place.dataset.refresh); } catch { return void setTimeout(again, 5000); }
      const made = document.createElement("template");
      made.innerHTML = text;
      const next = made.content.firstElementChild;
      if (!next) return;
      place.replaceWith(next);
      if (next.dataset.refresh) refresh(next);
      else if (next.dataset.reload !== undefined || !next.closest(".card")) location.reload();
    };
    setTimeout(again, 2000);
  };

  const valueOf = (cell) => {
    const text = cell.textContent.trim();
    const number = parseFloat(text.replace(/[,\s]/g, ""));
    return Number.isNaN(number) ? -Infinity : number;
  };
  const sortable = (table) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => {
        const isUp = head.getAttribute("aria-sort") === "descending";
        [...table.tHead.rows[0].cells].forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].sort((a, b) => valueOf(a.cells[column]) - valueOf(b.cells[column]));
        table.tBodies[0].append(...(isUp ? rows : rows.reverse()));
      });
      head.replaceChildren(button);
    });
  };

  const dress = (root) => {
    root.querySelectorAll("form[data-live]").forEach(live);
    root.querySelectorAll("form[data-drop]").forEach(drop);
    root.querySelectorAll("[data-refresh]").forEach(refresh);
    root.querySelectorAll("table.sortable").forEach(sortable);
    root.querySelectorAll("select[data-submit]").forEach((one) => one.addEventListener("change", () => one.form.submit()));
  };
  dress(document);
})();
