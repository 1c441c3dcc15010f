(() => {
  "use strict";
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  document.body.append(tip);
  // The browser's own tooltip would cover ours: names move to the label that screen readers know.
  const adopt = (element) => {
    const title = element.querySelector(":scope > title");
    if (!title) return;
    element.setAttribute("aria-label", title.textContent);
    title.remove();
  };
  document.querySelectorAll("svg.chart").forEach(adopt);
  document.addEventListener("pointermove", (event) => {
    const mark = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    tip.hidden = !mark;
    if (!mark) return;
    adopt(mark);
    tip.textContent = mark.getAttribute("aria-label");
    const { width, height } = tip.getBoundingClientRect();
    const right = event.clientX + 16 + width < innerWidth ? event.clientX + 16 : event.clientX - 16 - width;
    tip.style.left = `${Math.max(4, right)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 8))}px`;
  });
  document.addEventListener("pointerleave", () => { tip.hidden = true; });
  for (const chips of document.querySelectorAll(".chips")) {
    const items = chips.parentElement.querySelectorAll("[data-kind]:not(.chip)");
    const buttons = [...chips.querySelectorAll(".chip")];
    chips.hidden = false;
    chips.addEventListener("click", (event) => {
      const chosen = event.target.closest(".chip");
      if (!chosen) return;
      const kind = chosen.dataset.kind;
      const on = chosen.getAttribute("aria-pressed") === "true";
      if (kind) chosen.setAttribute("aria-pressed", String(!on));
      const kinds = kind ? buttons.filter((b) => b.dataset.kind && b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.kind) : [];
      for (const b of buttons) b.setAttribute("aria-pressed", String(b.dataset.kind ? kinds.includes(b.dataset.kind) : kinds.length === 0));
      for (const item of items) item.hidden = kinds.length > 0 && !kinds.includes(item.dataset.kind);
    });
  }
})();
