// A click enlarges a picture to the window; arrow keys show the next one, Esc closes (a dialog's default).
(() => {
  const viewer = document.querySelector("dialog.viewer");
  const [image, caption] = [viewer.querySelector("img"), viewer.querySelector(".caption")];
  const buttons = [...document.querySelectorAll("button.frame")];
  let current = -1;

  const show = (index) => {
    current = index;
    const [button, small] = [buttons[index], buttons[index].querySelector("img")];
    image.src = small.src;
    image.alt = small.alt;
    image.className = small.className;
    // scale small pictures by whole factors, so that their pixels stay square
    const [width, height] = [small.naturalWidth, small.naturalHeight];
    const room = Math.min((innerWidth * 0.92) / width, (innerHeight * 0.78) / height);
    const scale = width <= 256 && room >= 1 ? Math.min(Math.floor(room), Math.ceil(640 / width)) : Math.min(room, 1);
    image.style.width = `${Math.round(width * scale)}px`;
    const words = button.parentElement.querySelector("figcaption");
    caption.textContent = words ? words.innerText.replace(/\s*\n\s*/g, " · ") : small.alt;
    if (!viewer.open) viewer.showModal();
  };

  buttons.forEach((button, index) => button.addEventListener("click", () => show(index)));
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && buttons[current + step]) show(current + step);
  });
  viewer.addEventListener("close", () => buttons[current].focus());
})();
