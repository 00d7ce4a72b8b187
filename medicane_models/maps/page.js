"use strict";
for (const viewer of document.querySelectorAll(".viewer")) {
  const slider = viewer.querySelector("input");
  if (!slider) continue;
  const frames = [...viewer.querySelectorAll(".frame")];
  const cursors = viewer.closest("section").querySelectorAll(".cursor");
  const play = viewer.querySelector(".play");
  let timer = null;

  const show = () => {
    const now = frames[slider.value];
    for (const frame of frames) frame.hidden = frame !== now;
    for (const cursor of cursors) cursor.setAttribute("transform", `translate(${now.dataset.x})`);
    slider.setAttribute("aria-valuetext", now.dataset.time);
  };
  const step = (count) => {
    slider.value = (Number(slider.value) + count + frames.length) % frames.length;
    show();
  };
  const pause = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };

  slider.addEventListener("input", () => { pause(); show(); });
  for (const button of viewer.querySelectorAll("[data-step]"))
    button.addEventListener("click", () => { pause(); step(Number(button.dataset.step)); });
  play.addEventListener("click", () => {
    if (timer) return pause();
    timer = setInterval(step, 350, 1);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
  });
  show();
}
