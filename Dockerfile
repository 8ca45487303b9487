# The daemon alone: `docker build -t depositd .`. With PostgreSQL and Redis beside it: compose.yaml.

FROM node:20-slim AS build
WORKDIR /app
# Packages first, without the sources: this layer stays while only code changes.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build
# What the daemon needs at run time; then the install scripts of that (the embedded PostgreSQL's links).
RUN npm prune --omit=dev --ignore-scripts && npm rebuild

FROM node:20-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json /app/LICENSE ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/prisma prisma
COPY --from=build /app/config config
COPY --from=build /app/dist dist
# The embedded PostgreSQL and the key file, where no DATABASE_URL is given.
RUN mkdir data && chown node:node data
VOLUME /app/data
USER node
# Inside a container the address that others reach is any of its own.
ENV HTTP_HOST=0.0.0.0
EXPOSE 8420
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8420/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["start"]
